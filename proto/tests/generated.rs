//! `src/gen` is what the generator makes of the `.proto` files today.

use std::{fs, path::Path};

use prost::Message as _;

const FILES: [&str; 5] = [
    "stagepages/v1/guest.proto",
    "stagepages/v1/image.proto",
    "stagepages/v1/launch.proto",
    "stagepages/v1/node.proto",
    "stagepages/v1/vcpu.proto",
];

#[test]
fn generated_code_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tempfile::tempdir().unwrap();
    let descriptors = protox::compile(FILES, [root]).unwrap();

    // Reflection serves descriptors; whoever debugs with it wants the comments too, so source info stays in.
    fs::write(
        out.path().join("stagepages.v1.bin"),
        descriptors.encode_to_vec(),
    )
    .unwrap();
    tonic_prost_build::configure()
        // The type that every error library of tonic knows.
        .extern_path(".google.rpc", "::tonic_types::pb")
        .bytes(".")
        // Few exist. To box the large one, prost would derive a Copy that is none.
        .type_attribute(
            "stagepages.v1.VcpuState.state",
            "#[allow(clippy::large_enum_variant)]",
        )
        // They hold pages, the second in its oneof, which the generator takes along; src/redacted.rs prints them without.
        .skip_debug([
            "stagepages.v1.StagePagesRequest",
            "stagepages.v1.WriteImageRequest",
            "stagepages.v1.RejectedCpuid",
        ])
        .out_dir(out.path())
        .compile_fds(descriptors)
        .unwrap();

    let checked_in = root.join("src/gen");
    for name in ["stagepages.v1.rs", "stagepages.v1.bin"] {
        let fresh = fs::read(out.path().join(name)).unwrap();
        if std::env::var_os("UPDATE").is_some() {
            fs::write(checked_in.join(name), fresh).unwrap();
        } else {
            let old = fs::read(checked_in.join(name)).unwrap();
            assert!(
                old == fresh,
                "{name} is stale: run `UPDATE=1 cargo test -p stagepages-proto`"
            );
        }
    }
}
