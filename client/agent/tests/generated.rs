//! `src/kubelet/gen` is what the generator makes of `kubelet/*.proto` today.

use std::{fs, path::Path};

#[test]
fn generated_code_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tempfile::tempdir().unwrap();
    let files = ["kubelet/deviceplugin.proto", "kubelet/podresources.proto"];
    let descriptors = protox::compile(files, [root]).unwrap();
    tonic_prost_build::configure()
        .out_dir(out.path())
        .compile_fds(descriptors)
        .unwrap();

    let checked_in = root.join("src/kubelet/gen");
    for name in ["v1beta1.rs", "v1.rs"] {
        let fresh = fs::read(out.path().join(name)).unwrap();
        if std::env::var_os("UPDATE").is_some() {
            fs::write(checked_in.join(name), fresh).unwrap();
        } else {
            let old = fs::read(checked_in.join(name)).unwrap();
            assert!(
                old == fresh,
                "{name} is stale: run `UPDATE=1 cargo test -p stagepages-node-agent --test generated`"
            );
        }
    }
}
