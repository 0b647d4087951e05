//! Certificates as this crate reads them, and as OpenSSL does where it is installed.

use std::process::Command;

use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;

const NOW: u64 = 1_800_000_000;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

#[test]
fn an_authority_survives_its_text() {
    let authority = Authority::create("lab", NOW).unwrap();
    let again = Authority::from_pem(&authority.to_pem()).unwrap();
    assert_eq!(again.fingerprint(), authority.fingerprint());
    assert_eq!(again.cluster(), "lab");
    let read = Fingerprint::of_pem(authority.certificate_pem()).unwrap();
    assert_eq!(read, authority.fingerprint());
    let facts = read::facts(&authority.certificate).unwrap();
    assert_eq!(facts.not_after - NOW, CA_LIFETIME);
    assert!(facts.is_ca);
    assert!(!format!("{:?}", authority.to_pem()).contains("PRIVATE"));
}

#[test]
fn texts_that_do_not_belong_together_are_refused() {
    let (a, b) = (
        Authority::create("a", NOW).unwrap(),
        Authority::create("b", NOW).unwrap(),
    );
    let mixed = AuthorityPem {
        key: a.to_pem().key,
        certificate: b.to_pem().certificate,
    };
    let told = Authority::from_pem(&mixed).unwrap_err().to_string();
    assert!(
        told.contains("key is not the one") && told.contains("made together"),
        "{told}"
    );
    let node = a.issue_node(&name("n"), &[], NOW).unwrap();
    let no_ca = AuthorityPem {
        key: node.key,
        certificate: node.certificate,
    };
    let told = Authority::from_pem(&no_ca).unwrap_err().to_string();
    assert!(
        told.contains("not one of a certificate authority"),
        "{told}"
    );
    assert!(Authority::create("", NOW).is_err());
    assert!(Authority::create(&"x".repeat(65), NOW).is_err());
}

#[test]
fn a_node_certificate_says_who_and_where() {
    let authority = Authority::create("lab", NOW).unwrap();
    let sans = [San::Ip([10, 0, 0, 1].into()), San::Dns("a.example".into())];
    let made = authority.issue_node(&name("node-a"), &sans, NOW).unwrap();
    let der = read::certificate(&made.certificate).unwrap();
    let facts = read::facts(&der).unwrap();
    assert_eq!(facts.common_name, "node-a");
    assert_eq!(facts.node, Some(name("node-a")));
    assert!(!facts.is_ca);
    assert_eq!(facts.not_before, NOW - BACKDATED);
    let (_, parsed) = X509Certificate::from_der(&der).unwrap();
    let usage = parsed.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && usage.server_auth && !usage.any);
    let san = parsed.subject_alternative_name().unwrap().unwrap().value;
    let shown = format!("{:?}", san.general_names);
    for part in [
        "tombolo://node/node-a",
        "localhost",
        "\"node-a\"",
        "a.example",
        "[10, 0, 0, 1]",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let other = authority.issue_node(&name("node-a"), &[], NOW).unwrap();
    let other = read::certificate(&other.certificate).unwrap();
    let (_, other) = X509Certificate::from_der(&other).unwrap();
    assert_ne!(parsed.raw_serial(), other.raw_serial());
}

#[test]
fn names_that_no_dns_knows_are_still_names() {
    let authority = Authority::create("lab", NOW).unwrap();
    let long = "n".repeat(253);
    for text in ["10.0.0.1", "A_b..c", long.as_str()] {
        let made = authority.issue_node(&name(text), &[], NOW).unwrap();
        let facts = read::facts(&read::certificate(&made.certificate).unwrap()).unwrap();
        assert_eq!(facts.node, Some(name(text)), "{text}");
    }
}

#[test]
fn only_the_key_of_a_request_counts() {
    let authority = Authority::create("lab", NOW).unwrap();
    let key = new_key().unwrap();
    let mut params = CertificateParams::new(vec!["evil.example".to_owned()]).unwrap();
    params.distinguished_name = common_name("root");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let csr = params.serialize_request(&key).unwrap().pem().unwrap();
    let made = authority.sign_csr(&csr, &name("n"), &[], NOW).unwrap();
    let der = read::certificate(&made).unwrap();
    let facts = read::facts(&der).unwrap();
    assert_eq!((facts.common_name.as_str(), facts.is_ca), ("n", false));
    assert_eq!(facts.key_hash, csr_key_hash(&csr).unwrap());
    assert!(!String::from_utf8_lossy(&der).contains("evil"));
}

#[test]
fn requests_that_are_damaged_or_not_signed_by_their_key_are_refused() {
    let authority = Authority::create("lab", NOW).unwrap();
    let key = new_key().unwrap();
    let csr = CertificateParams::default()
        .serialize_request(&key)
        .unwrap();
    let mut der = csr.der().to_vec();
    let last = der.len() - 1;
    der[last] ^= 1;
    let damaged = CertificateSigningRequestParams::from_der(&der.into());
    assert!(damaged.is_err(), "the signature must be verified");
    for text in [
        "",
        "x",
        "-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----\n",
    ] {
        let told = authority
            .sign_csr(text, &name("n"), &[], NOW)
            .unwrap_err()
            .to_string();
        assert!(told.contains("make a new one"), "{told}");
    }
}

#[test]
fn renewal_is_due_after_two_thirds() {
    let authority = Authority::create("lab", NOW).unwrap();
    let made = authority
        .issue_node(&name("n"), &[], NOW)
        .unwrap()
        .certificate;
    assert_eq!(expires_at(&made).unwrap(), NOW + NODE_LIFETIME);
    assert!(!renew_due(&made, NOW).unwrap());
    assert!(!renew_due(&made, NOW + NODE_LIFETIME / 3 * 2 - 2 * BACKDATED).unwrap());
    assert!(renew_due(&made, NOW + NODE_LIFETIME / 3 * 2).unwrap());
    assert!(renew_due(&made, NOW + 2 * NODE_LIFETIME).unwrap());
    assert!(expires_at("no certificate").is_err());
}

#[test]
fn openssl_accepts_the_chain_for_both_roles() {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("openssl is not installed: nothing to compare with");
        return;
    }
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = since.unwrap().as_secs();
    let authority = Authority::create("lab", now).unwrap();
    let sans = [San::Ip([10, 0, 0, 1].into())];
    let made = authority.issue_node(&name("n"), &sans, now).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let ca = file("ca.pem", authority.certificate_pem());
    let node = file("node.pem", &made.certificate);
    for purpose in ["sslserver", "sslclient"] {
        let mut verify = Command::new("openssl");
        verify.args([
            "verify",
            "-x509_strict",
            "-purpose",
            purpose,
            "-verify_ip",
            "10.0.0.1",
        ]);
        let told = verify.arg("-CAfile").arg(&ca).arg(&node).output().unwrap();
        assert!(told.status.success(), "{purpose}: {told:?}");
    }
}
