//! Stages sources into one launch over a connection.
//!
//! Cutting a source into calls would lose a promise of StagePages, that an extent is checked whole before its first page is touched. So
//! the memory regions are looked at here, once for the whole source, and a misplaced image installs nothing.
//!
//! **Invariant:** every call names the uid of the launch as it was when opened, so none hits a later launch of the same name.

use bytes::Bytes;
use stagepages_proto::v1::{LaunchSpec, PageType, StagePagesRequest, StagePagesResponse};

use super::{
    Pages, Progress, Source, StageEnd, StageReport,
    cut::Cuts,
    placed::check,
    run::{Call, run},
};
use crate::{
    Client, LaunchRef, StagepagesError,
    addr::{Gpa, PAGE_BYTES},
};

/// Pages of one call that carries no bytes. Not a limit of the API: it keeps a call to seconds where firmware takes a millisecond a page,
/// so that progress shows and an abort elsewhere is soon noticed.
const LENGTH_ONLY_PAGES: u64 = 4096;
/// Pages of one call with bytes, whatever the daemon would take: this much is held in memory.
const MOST_DATA_PAGES: u64 = 4096;

/// Stages into one launch.
#[derive(Clone, Debug)]
pub struct Stager {
    client: Client,
    launch: LaunchRef,
    spec: LaunchSpec,
    data_pages: u64,
}

impl Stager {
    /// Looks the launch and the daemon's limits up.
    ///
    /// # Errors
    /// LAUNCH_NOT_FOUND, MALFORMED_REQUEST.
    pub async fn open(client: &Client, launch: &LaunchRef) -> Result<Self, StagepagesError> {
        let limits = client
            .node_info()
            .await?
            .limits
            .ok_or_else(|| StagepagesError::bad_answer("the answer lacks its limits"))?;
        let data_pages = (limits.max_data_bytes / PAGE_BYTES).min(MOST_DATA_PAGES);
        if data_pages == 0 {
            return Err(StagepagesError::bad_answer(format!(
                "the limit of {:#x} data bytes a call is less than one page",
                limits.max_data_bytes
            )));
        }
        let launch = client.get_launch(launch).await?;
        Ok(Self {
            client: client.clone(),
            launch: LaunchRef::from(&launch),
            spec: launch.spec.unwrap_or_default(),
            data_pages,
        })
    }

    /// The launch, with its uid.
    #[must_use]
    pub fn launch(&self) -> &LaunchRef {
        &self.launch
    }

    /// Stages `source` at `gpa`, telling `progress` after each answer. Dropping the future loses the count of the call that runs.
    pub async fn stage(
        &self,
        gpa: Gpa,
        page_type: PageType,
        source: Source<'_>,
        progress: impl FnMut(Progress),
    ) -> StageReport {
        let extent = Pages {
            gpa,
            count: source.pages(),
        };
        let longest = match (page_type, source.has_data()) {
            // Firmware takes CPUID pages one by one, and so does StagePages.
            (PageType::Cpuid, _) => 1,
            (_, true) => self.data_pages,
            (_, false) => LENGTH_ONLY_PAGES,
        };
        let calls = Calls {
            stager: self,
            page_type,
        };
        match self.cuts(extent, longest) {
            Ok(cuts) => run(extent, cuts, source, calls, progress).await,
            Err(error) => StageReport {
                end: StageEnd::Failed(error),
                ..StageReport::of_nothing_yet(extent)
            },
        }
    }

    /// Cuts the extent into calls of at most `longest` pages, if all of it can be installed for what is known here.
    fn cuts(&self, extent: Pages, longest: u64) -> Result<Cuts, StagepagesError> {
        check(&self.launch, &self.spec.regions, extent)?;
        Ok(Cuts::new(extent, longest))
    }
}

/// The calls of one source.
struct Calls<'a> {
    stager: &'a Stager,
    page_type: PageType,
}

impl Call for Calls<'_> {
    async fn stage(
        &mut self,
        pages: Pages,
        data: Option<Bytes>,
    ) -> Result<StagePagesResponse, StagepagesError> {
        let length = data.is_none().then_some(pages.count * PAGE_BYTES);
        let request = StagePagesRequest {
            name: self.stager.launch.name().into(),
            uid: self.stager.launch.uid().into(),
            gpa: pages.gpa.bytes(),
            page_type: self.page_type.into(),
            data,
            length,
            ..StagePagesRequest::default()
        };
        self.stager.client.stage_pages(request).await
    }
}
