//! FinishLaunch with what SNP's firmware alone is given: ID block, ID authentication, host data.
//!
//! **Invariant:** the digest of an ID block that is taken is one that firmware said.
use serde_json::Value;
use stagepages_proto::v1::vcpu_state::State;
use stagepages_proto::v1::{
    FinishLaunchRequest, Launch, LaunchSpec, LaunchState, RealModeState, SetVcpuStateRequest,
    SevSnpFinish, VcpuState,
};
use stagepages_tests::{Bench, Contents, Extent, PAGE, page, refused, region, spec};
use tonic::Status;

use crate::measured::hex;
use crate::subjects::snp;

/// The policy of a launch that asks for none.
const POLICY: u64 = 0x3_0000;
const HOST_DATA: [u8; 32] = *b"what the host says of this guest";

/// A launch of two vCPUs and some pages, staged before and after one of the vCPUs is set up. All are alike.
async fn staged(bench: &Bench) -> String {
    let spec = LaunchSpec {
        vcpus: 2,
        ..spec(bench.platform, [region(page(0), 64 * PAGE)])
    };
    let name = bench.api.create("", spec).await.unwrap().name;
    let mut contents = Contents::new(131);
    let mut stage = async |number| {
        let extent = Extent::normal(page(number), contents.pages(3));
        bench.api.stage(&name, extent).await.unwrap();
    };
    stage(0).await;
    let state = VcpuState {
        index: 1,
        state: Some(State::RealMode(RealModeState {
            ip: 0x1000,
            ..RealModeState::default()
        })),
    };
    let set = SetVcpuStateRequest {
        name: name.clone(),
        uid: String::new(),
        state: Some(state),
    };
    bench
        .api
        .launches
        .clone()
        .set_vcpu_state(set)
        .await
        .unwrap();
    stage(8).await;
    name
}

async fn finish(bench: &Bench, name: &str, sev_snp: SevSnpFinish) -> Result<Launch, Status> {
    let request = FinishLaunchRequest {
        name: name.to_owned(),
        sev_snp: Some(sev_snp),
        ..FinishLaunchRequest::default()
    };
    let answer = bench.api.launches.clone().finish_launch(request).await?;
    Ok(answer.into_inner().launch.unwrap())
}

/// The launch digest that firmware ended up with last, vCPUs included.
fn firmware_digest(bench: &Bench) -> Vec<u8> {
    let trace = bench.daemon.trace();
    let mut digests = trace.events().iter().filter(|event| event["t"] == "digest");
    let digest = digests
        .next_back()
        .and_then(|event| event["digest"].as_str());
    let digest = digest.expect("firmware finished a launch");
    let byte = |at| u8::from_str_radix(&digest[at..at + 2], 16).unwrap();
    (0..digest.len()).step_by(2).map(byte).collect()
}

/// How often the kernel was asked for a vCPU, and to finish a launch.
fn finishes(bench: &Bench) -> usize {
    let is_asked = |event: &&Value| {
        event["t"] == "begin"
            && ["KVM_CREATE_VCPU", "KVM_SEV_SNP_LAUNCH_FINISH"]
                .iter()
                .any(|call| event["call"] == *call)
    };
    let trace = bench.daemon.trace();
    trace.events().iter().filter(is_asked).count()
}

/// {launch_digest[48]@0, family_id[16], image_id[16], version u32@80, guest_svn u32, policy u64@88}: kernel.md, section 8.1.
fn id_block(digest: &[u8], policy: u64) -> SevSnpFinish {
    let mut block = vec![0; 96];
    block[..48].copy_from_slice(digest);
    block[80] = 1;
    block[88..].copy_from_slice(&policy.to_le_bytes());
    SevSnpFinish {
        id_block: block.into(),
        id_auth: vec![0; 4096].into(),
        host_data: HOST_DATA.to_vec().into(),
        ..SevSnpFinish::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_block_is_taken_if_its_digest_is_that_of_pages_and_vcpus() {
    let checked = |options: stagepages_tests::DaemonOptions| {
        options.scripted("checks_id_block", Value::Bool(true))
    };
    let subjects = snp().with(checked);
    subjects
        .run(async |bench: &Bench| {
            let plain = staged(bench).await;
            let told = bench.api.get(&plain).await.unwrap().launch_digest;
            finish(bench, &plain, SevSnpFinish::default())
                .await
                .unwrap();
            let digest = firmware_digest(bench);
            assert_eq!(told, digest, "what was told before is what firmware says");

            let name = staged(bench).await;
            let arguments = id_block(&digest, POLICY);
            let first = finish(bench, &name, arguments.clone()).await.unwrap();
            assert_eq!(first.state(), LaunchState::Finished);
            let again = finish(bench, &name, arguments).await.unwrap();
            assert_eq!(again, first, "the same arguments, the first answer");
            assert_eq!(firmware_digest(bench), digest);
            let host_data: String = HOST_DATA.iter().map(|byte| format!("{byte:02x}")).collect();
            let told = |event: &Value| {
                let detail = event["detail"].as_str();
                detail.is_some_and(|detail| detail.contains(&host_data))
            };
            let trace = bench.daemon.trace();
            assert!(
                trace.events().iter().any(told),
                "firmware got the host data"
            );

            // Firmware compares both behind the vCPUs, when there is no second try; so both are compared before, and cost nothing.
            let name = staged(bench).await;
            let refusal = refused(
                finish(bench, &name, id_block(&digest, POLICY | 1 << 19)).await,
                "INVALID_LAUNCH",
            );
            refusal.state("STAGING").blames("sev_snp.id_block");
            let mut other = digest.clone();
            other[47] ^= 1;
            let asked = finishes(bench);
            for _ in 0..2 {
                let refusal = refused(
                    finish(bench, &name, id_block(&other, POLICY)).await,
                    "DIGEST_MISMATCH",
                );
                refusal.state("STAGING");
                assert_eq!(refusal.meta("field"), "sev_snp.id_block");
                assert_eq!(refusal.meta("expected"), hex(&other));
                assert_eq!(refusal.meta("actual"), hex(&digest));
            }
            assert_eq!(finishes(bench), asked, "no vCPU was made, nothing finished");
            finish(bench, &name, id_block(&digest, POLICY))
                .await
                .unwrap();
            assert_ne!(finishes(bench), asked);
            assert_eq!(firmware_digest(bench), digest);
        })
        .await;
}
