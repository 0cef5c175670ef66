//! What a refusal must say.
//!
//! **Invariant:** what the kernel did not say is not said either: no status of a call that has none.
use stagepages_kvm::{FirmwareStatus, Gpa};
use stagepages_tests::Refusal;
use tonic::Status;

use super::row::Told;

impl Told {
    /// Holds the refusal to all but what it says of launch and page.
    pub(crate) fn check(&self, status: &Status) -> Refusal {
        let refusal = Refusal::of(status);
        assert_eq!(
            (refusal.reason.as_str(), status.code()),
            self.reason,
            "{refusal:?}"
        );
        for (key, expected) in [("ioctl", self.ioctl), ("errno", self.errno)] {
            let told = refusal.has_meta(key).then(|| refusal.meta(key));
            assert_eq!(told.unwrap_or_default(), expected, "{key} of {refusal:?}");
        }
        // Of a CPUID page the message has more to tell.
        assert!(
            refusal.message.contains(self.ioctl) || self.differences > 0,
            "the message does not name {}: {refusal:?}",
            self.ioctl
        );
        // SNP's commands have a status in any case.
        let silent = self.ioctl.starts_with("KVM_SEV_").then_some(0);
        for (key, expected) in [
            ("firmware_status", self.firmware.or(silent)),
            ("hw_error", self.module),
        ] {
            let told = refusal.has_meta(key).then(|| refusal.number(key));
            assert_eq!(told, expected, "{key} of {refusal:?}");
        }
        for words in self.says.iter().copied().chain(self.firmware_says()) {
            assert!(
                refusal.message.contains(words),
                "does not say {words:?}: {refusal:?}"
            );
        }
        if !self.blames.is_empty() {
            refusal.blames(self.blames);
        }
        self.check_differences(&refusal);
        refusal
    }

    /// Of a status its name, what it means, and what an operator can do. Of a CPUID page that firmware would have otherwise the message names leaves.
    fn firmware_says(&self) -> impl Iterator<Item = &'static str> {
        let status = self.firmware.filter(|_| self.differences == 0);
        let status = status.map(|status| u32::try_from(status).expect("32 bits"));
        let status = status.map(FirmwareStatus::new);
        let words = status.map(|status| [status.name(), status.meaning(), status.remedy()]);
        words.into_iter().flatten()
    }

    /// As many leaves as differ are counted, and eight of them named.
    fn check_differences(&self, refusal: &Refusal) {
        if self.differences == 0 {
            assert!(!refusal.has_meta("cpuid_differences"), "{refusal:?}");
            return;
        }
        assert_eq!(refusal.number("cpuid_differences"), self.differences);
        for nth in 1..=9 {
            let named = refusal.has_meta(&format!("cpuid_difference_{nth}"));
            assert_eq!(named, nth <= self.differences.min(8), "{nth}: {refusal:?}");
        }
    }
}

/// The launch and the page that the refusal must name.
pub(crate) fn check_page(refusal: &Refusal, launch: &str, gfn: u64, page_type: &str) {
    refusal.at(Gpa::new(gfn * 4096));
    assert_eq!(
        (refusal.meta("launch"), refusal.meta("page_type")),
        (launch, page_type),
        "{refusal:?}"
    );
}
