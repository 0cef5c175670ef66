//! The table of faults: platforms × profiles × what the kernel, firmware or the TDX module can do to a launch.
//!
//! Each row has a launch of its own, and says what the call is answered, how many pages it installed, what the ledger and the guest hold, what becomes of the
//! launch, and exactly what the kernel was asked to install, so that nothing is submitted twice. One daemon serves all rows of a platform and a profile.
//!
//! ```text
//! row     what a row is               snp  tdx   the rows
//! run     has one happen              told       what a refusal must say
//! staged  the launch that it has      left       what must be left: counts, ledger, digest, guest
//! stream  where rows do not reach: one CPUID page in a call
//! ```
//!
//! **Invariant:** a row whose fault has not struck has failed.
pub(crate) mod cpuid_table;
pub(crate) mod left;
mod row;
mod run;
mod snp;
mod staged;
mod stream;
mod tdx;
mod told;

use std::collections::BTreeSet;

use stagepages_kernel_model::Profile;
use stagepages_proto::v1::Platform;

use crate::rig::start;
use row::Row;

/// Runs every row, and tells all that failed.
async fn holds(platform: Platform, profile: Profile, rows: Vec<Row>) {
    assert!(rows.len() > 30, "a table of {} rows", rows.len());
    let (bench, rig) = start(platform, profile, "").await;
    let mut failed = Vec::new();
    for row in rows {
        let named = format!("{} [{}]", row.what, row.source);
        println!("{named}");
        let rig = rig.clone();
        // In a task of its own, so that the table is told as a whole.
        let ran = tokio::spawn(async move { run::run(&rig, &row).await });
        // What panicked has said so in full where it did.
        if ran.await.is_err() {
            failed.push(named);
        }
    }
    rig.play(&rig.script());
    assert!(
        failed.is_empty(),
        "{} rows failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
    bench.end().await;
}

async fn snp_holds(profile: Profile) {
    holds(Platform::SevSnp, profile, snp::rows(profile)).await;
}

async fn tdx_holds(profile: Profile) {
    holds(Platform::Tdx, profile, tdx::rows(profile)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_snp_on_6_11() {
    snp_holds(Profile::V6_11).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_snp_on_6_18() {
    snp_holds(Profile::V6_18).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_snp_on_6_19() {
    snp_holds(Profile::V6_19).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_snp_on_7_1() {
    snp_holds(Profile::V7_1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_tdx_on_6_18() {
    tdx_holds(Profile::V6_18).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_tdx_on_6_19() {
    tdx_holds(Profile::V6_19).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_tdx_on_7_1() {
    tdx_holds(Profile::V7_1).await;
}

/// KVM has TDX from 6.16 on (kernel.md, section 3): before, the type of VM is not offered, whatever else the machine says.
#[tokio::test(flavor = "multi_thread")]
async fn tdx_is_missing_on_6_11() {
    let (bench, rig) = start(Platform::SevSnp, Profile::V6_11, "").await;
    run::is_unavailable(&rig, Platform::Tdx).await;
    bench.end().await;
}

#[test]
fn rows_have_names_of_their_own_and_a_source_in_the_kernel() {
    for profile in Profile::ALL {
        for rows in [snp::rows(profile), tdx::rows(profile)] {
            let mut names = BTreeSet::new();
            for row in &rows {
                assert!(names.insert(&row.what), "two rows are called {}", row.what);
            }
            for row in &rows {
                let is_cited = row.source.ends_with(".c")
                    || row.source.contains(".h;")
                    || row.source.contains(".rst,");
                assert!(is_cited, "{}: {}", row.what, row.source);
            }
        }
    }
}
