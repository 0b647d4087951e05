//! Compiles the wire format of the store, without a `protoc` on the machine.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = "src/etcd/proto";
    println!("cargo:rerun-if-changed={folder}");
    let files = protox::compile([format!("{folder}/rpc.proto")], [folder])?;
    tonic_prost_build::configure()
        .bytes(".")
        .build_transport(false)
        .compile_fds(files)?;
    Ok(())
}
