//! The result of ADD, in the shape of the version that was asked for (SPEC, section 5).
//!
//! 0.3.x and 0.4.0 have `ips[].version`, 1.0.0 has not, 1.1.0 adds the interfaces' MTU and more of a
//! route. What a plugin before us in the chain found stays, in the same shape, with ours behind it.

use serde_json::{Map, Value, json};
use tombolo_api::{Attached, InterfaceView};

use crate::error::CniError;
use crate::wire::Config;

/// The result of an attachment.
pub(crate) fn of(attached: &Attached, netns: &str, config: &Config) -> Result<String, CniError> {
    let mut result = match &config.prev_result {
        None => Map::new(),
        Some(Value::Object(previous)) => previous.clone(),
        Some(other) => {
            return Err(CniError::Config(format!(
                "prevResult is no object: {other}"
            )));
        }
    };
    convert(&mut result, &config.version)?;
    result.insert("cniVersion".into(), config.version.as_str().into());
    let interfaces = list(&mut result, "interfaces")?;
    for host in attached.bridge.iter().chain(&attached.host_interface) {
        interfaces.push(interface(host, None, config));
    }
    let index = interfaces.len();
    if let Some(container) = &attached.container_interface {
        interfaces.push(interface(container, Some(netns), config));
    }
    let ips = list(&mut result, "ips")?;
    for view in &attached.addresses {
        let mut ip = json!({"address": view.address.to_string()});
        if attached.container_interface.is_some() {
            ip["interface"] = index.into();
        }
        if let Some(gateway) = view.gateway {
            ip["gateway"] = gateway.to_string().into();
        }
        if config.version.starts_with("0.") {
            let version = if view.address.addr().is_ipv4() {
                "4"
            } else {
                "6"
            };
            ip["version"] = version.into();
        }
        ips.push(ip);
    }
    let routes = list(&mut result, "routes")?;
    for view in &attached.routes {
        let mut route = json!({"dst": view.dst.to_string()});
        if let Some(gateway) = view.gateway {
            route["gw"] = gateway.to_string().into();
        }
        routes.push(route);
    }
    if let Some(dns) = &config.dns {
        result.insert("dns".into(), dns.clone());
    }
    result.entry("dns").or_insert_with(|| json!({}));
    Ok(Value::Object(result).to_string())
}

/// Brings what other plugins found into the shape of a version.
fn convert(result: &mut Map<String, Value>, version: &str) -> Result<(), CniError> {
    /// What 1.1.0 added to interfaces and to routes.
    const NEW: [(&str, &[&str]); 2] = [
        ("interfaces", &["mtu", "socketPath", "pciID"]),
        ("routes", &["mtu", "advmss", "priority", "table", "scope"]),
    ];
    for ip in list(result, "ips")?
        .iter_mut()
        .filter_map(Value::as_object_mut)
    {
        if version.starts_with("0.") {
            let is_v6 = ip
                .get("address")
                .and_then(Value::as_str)
                .is_some_and(|a| a.contains(':'));
            ip.insert("version".into(), if is_v6 { "6" } else { "4" }.into());
        } else {
            ip.remove("version");
        }
    }
    if version == "1.1.0" {
        return Ok(());
    }
    for (name, fields) in NEW {
        let objects = list(result, name)?
            .iter_mut()
            .filter_map(Value::as_object_mut);
        for object in objects {
            object.retain(|field, _| !fields.contains(&field.as_str()));
        }
    }
    Ok(())
}

fn interface(view: &InterfaceView, sandbox: Option<&str>, config: &Config) -> Value {
    let mut interface = json!({"name": view.name.as_str(), "sandbox": sandbox.unwrap_or_default()});
    if let Some(mac) = view.mac {
        interface["mac"] = mac.to_string().into();
    }
    if let Some(mtu) = view.mtu.filter(|_| config.version == "1.1.0") {
        interface["mtu"] = mtu.into();
    }
    interface
}

/// A list of the result, made if it is not there.
fn list<'a>(
    result: &'a mut Map<String, Value>,
    name: &str,
) -> Result<&'a mut Vec<Value>, CniError> {
    let entry = result.entry(name).or_insert_with(|| json!([]));
    if entry.is_null() {
        *entry = json!([]);
    }
    match entry {
        Value::Array(list) => Ok(list),
        other => Err(CniError::Config(format!(
            "prevResult.{name} is no list: {other}"
        ))),
    }
}
