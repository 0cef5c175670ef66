//! A launch in the hands of a row: what is staged before, what the row is about, and what the launch is afterwards.
//!
//! **Invariant:** a launch that goes on is shown to: it takes pages and is finished.
use stagepages_kernel_model::{Event, What};
use stagepages_proto::v1::{
    AbortReason, FinishLaunchRequest, GetRejectedCpuidRequest, Launch, LaunchState, PageType,
    SevSnpFinish,
};
use stagepages_tests::{Contents, Extent, PAGE, Refusal, page, refused};
use tonic::Status;

use super::row::{After, CPUID_REJECTED, Expect, FIRST, Told};
use super::told::check_page;
use super::{cpuid_table, left};
use crate::measured::Measured;
use crate::pages::{contents, extent};
use crate::rig::{Mark, Rig, of_process};
use crate::trace::checks;

/// Where the pages lie that are staged before and after those that a row is about.
const BEFORE: u64 = 0;
const AFTER: u64 = 0x30;

/// In an ID block: the digest that the launch tells.
pub(super) const OWN_DIGEST: [u8; 48] = [0xff; 48];

/// The launch.
pub(super) struct Staged<'a> {
    rig: &'a Rig,
    /// Before it was made.
    mark: Mark,
    launch: Launch,
    /// What was submitted, in its order: as far as it is installed, that is what is measured.
    measured: Measured,
    contents: Contents,
}

impl<'a> Staged<'a> {
    pub(super) fn new(rig: &'a Rig, mark: Mark, launch: Launch) -> Self {
        Self {
            rig,
            mark,
            launch,
            measured: Measured::default(),
            contents: Contents::new(97),
        }
    }

    /// What the host did so far.
    fn events(&self) -> Vec<Event> {
        of_process(&self.rig.events(self.mark), self.launch.host_pid)
    }

    async fn now(&self) -> Launch {
        self.rig.api.get(&self.launch.name).await.unwrap()
    }

    /// Stages pages that no row is about.
    pub(super) async fn stage_before(&mut self, pages: u64) {
        if pages > 0 {
            self.stage_well(BEFORE, PageType::Normal, pages).await;
        }
    }

    async fn stage_well(&mut self, gfn: u64, page_type: PageType, pages: u64) {
        let data = contents(&mut self.contents, page_type, pages);
        self.measured.add(gfn, page_type, &data);
        let extent = extent(gfn, page_type, &data);
        let staged = self.rig.api.stage(&self.launch.name, extent).await.unwrap();
        assert_eq!((staged.installed_pages, staged.stop), (pages, None));
    }

    /// Stages what the row is about.
    pub(super) async fn stage(
        &mut self,
        before: u64,
        page_type: PageType,
        pages: u64,
        expect: &Expect,
    ) {
        let before_it = self.events();
        let (mark, from) = (before_it.len(), left::installs(&before_it).len());
        let data = contents(&mut self.contents, page_type, pages);
        let extent = extent(FIRST, page_type, &data);
        let answer = self.rig.api.stage(&self.launch.name, extent).await;
        checks::no_rejected_cpuid_is_submitted_again(&self.events()[mark..]).unwrap();
        let total = before + expect.installed;
        let mut measured = self.measured.clone();
        measured.add(FIRST, page_type, &data);
        self.measured = measured.first(total);
        let refusal = self.check_answer(
            answer.map(|staged| (staged.installed_pages, staged.next_gpa)),
            page_type,
            expect,
        );
        match expect.after {
            After::Aborted => {
                let refusal = refusal.expect("a launch is over by a refusal");
                self.is_over(&refusal, total).await;
            }
            After::Open | After::Finished | After::None => {
                let state = if total == 0 {
                    LaunchState::Created
                } else {
                    LaunchState::Staging
                };
                self.is(state, total).await;
                self.holds(before, page_type, expect.installed).await;
            }
        }
        left::check_asked(&self.events(), from, &expect.asked);
        left::check_guest(&self.events(), total + expect.uncounted);
        if expect.after == After::Open {
            if let Some(told) = &expect.refusal {
                self.stage_again(told, page_type).await;
            }
            self.goes_on().await;
        }
    }

    fn check_answer(
        &self,
        answer: Result<(u64, u64), Status>,
        page_type: PageType,
        expect: &Expect,
    ) -> Option<Refusal> {
        let next = FIRST + expect.installed;
        let Some(told) = &expect.refusal else {
            assert_eq!(answer.unwrap(), (expect.installed, next * PAGE));
            return None;
        };
        let refusal = told.check(&answer.unwrap_err());
        let type_name = page_type.as_str_name().trim_start_matches("PAGE_TYPE_");
        check_page(&refusal, &self.launch.name, next, type_name);
        refusal.installed(expect.installed);
        refusal.state(match expect.after {
            After::Aborted => "ABORTED",
            After::Open | After::Finished | After::None => "STAGING",
        });
        Some(refusal)
    }

    /// The launch is in this state and counts so many pages.
    async fn is(&self, state: LaunchState, pages: u64) -> Launch {
        let now = self.now().await;
        assert_eq!(
            (now.state(), now.installed_pages),
            (state, pages),
            "{now:?}"
        );
        left::check_digest(self.rig, &now, &self.measured);
        now
    }

    /// The ledger has the pages staged before and those that were installed of the row's.
    async fn holds(&self, before: u64, page_type: PageType, installed: u64) {
        let expected = [
            (BEFORE, before, PageType::Normal),
            (FIRST, installed, page_type),
        ];
        let expected: Vec<_> = expected
            .into_iter()
            .filter(|(_, pages, _)| *pages > 0)
            .collect();
        assert_eq!(left::runs(self.rig, &self.launch.name).await, expected);
    }

    /// The page was taken back, so it can be submitted once more: by the caller, and a CPUID page as firmware would have it.
    async fn stage_again(&mut self, told: &Told, page_type: PageType) {
        if told.reason != CPUID_REJECTED {
            self.stage_well(FIRST, page_type, 1).await;
            return;
        }
        let request = GetRejectedCpuidRequest {
            name: self.launch.name.clone(),
            ..GetRejectedCpuidRequest::default()
        };
        let answer = self
            .rig
            .api
            .launches
            .clone()
            .get_rejected_cpuid(request)
            .await;
        let rejected = answer.unwrap().into_inner().rejected.unwrap();
        assert_eq!(rejected.gpa, FIRST * PAGE);
        assert_eq!(rejected.differences.len() as u64, told.differences);
        for difference in rejected.differences {
            let (had, wants) = (difference.submitted.unwrap(), difference.wanted.unwrap());
            assert_eq!((had.ebx, wants.ebx), (2, cpuid_table::OTHER));
            assert_eq!(had.eax_in, wants.eax_in);
        }
        let corrected = rejected.corrected_page;
        assert_ne!(corrected, cpuid_table::page());
        self.measured.add(FIRST, PageType::Cpuid, &corrected);
        let extent = Extent::data(page(FIRST), PageType::Cpuid, corrected);
        self.rig.api.stage(&self.launch.name, extent).await.unwrap();
    }

    /// The launch takes pages, and is finished; then it goes.
    pub(super) async fn goes_on(&mut self) {
        self.stage_well(AFTER, PageType::Normal, 2).await;
        let total = self.measured.pages();
        self.is(LaunchState::Staging, total).await;
        let finished = self
            .rig
            .api
            .finish(&self.launch.name, vec![])
            .await
            .unwrap();
        assert_eq!(finished.state(), LaunchState::Finished);
        self.rig.api.abort(&self.launch.name).await.unwrap();
    }

    /// Finishes it, which the row is about.
    pub(super) async fn finish(&mut self, mut sev_snp: Option<SevSnpFinish>, expect: &Expect) {
        if let Some(given) = &mut sev_snp
            && given.id_block.starts_with(&OWN_DIGEST)
        {
            let own = self.now().await.launch_digest;
            given.id_block = [&own, &given.id_block[48..]].concat().into();
        }
        let request = FinishLaunchRequest {
            name: self.launch.name.clone(),
            sev_snp,
            ..FinishLaunchRequest::default()
        };
        let answer = self.rig.api.launches.clone().finish_launch(request).await;
        match (&expect.refusal, answer) {
            (None, answer) => {
                answer.unwrap();
                self.is(LaunchState::Finished, 2).await;
                self.rig.api.abort(&self.launch.name).await.unwrap();
            }
            (Some(told), answer) => {
                let refusal = told.check(&answer.unwrap_err());
                assert_eq!(refusal.meta("launch"), self.launch.name);
                match expect.after {
                    After::Aborted => {
                        refusal.state("ABORTED");
                        self.is_over(&refusal, 2).await;
                    }
                    After::Open | After::Finished | After::None => {
                        refusal.state("STAGING");
                        self.goes_on().await;
                        return;
                    }
                }
            }
        }
        left::check_guest(&self.events(), 2);
        left::check_finishes(&self.events(), expect);
    }

    /// The launch was ended by the platform with so many pages, and nothing more of it reaches the kernel.
    async fn is_over(&self, refusal: &Refusal, pages: u64) {
        let now = self.is(LaunchState::Aborted, pages).await;
        let cause = now.abort.expect("what ended it");
        assert_eq!(cause.reason(), AbortReason::PlatformRefused, "{cause:?}");
        // The record says as much as the call that ended it was told.
        assert_eq!(
            format!("{}: {}", refusal.reason, cause.message),
            refusal.message
        );
        let before = self.events().len();
        let name = &self.launch.name;
        let extent = Extent::normal(page(AFTER), vec![1; 4096]);
        refused(self.rig.api.stage(name, extent).await, "WRONG_STATE");
        refused(self.rig.api.finish(name, vec![]).await, "WRONG_STATE");
        refused(self.rig.api.verify(name).await, "WRONG_STATE");
        let later = &self.events()[before..];
        let commands = later
            .iter()
            .filter(|event| matches!(event.what, What::Begin(_)));
        assert_eq!(commands.count(), 0, "{later:?}");
    }
}
