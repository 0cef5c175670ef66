//! Stages sources into one launch over a connection.
//!
//! Cutting a source into calls would lose a promise of StagePages, that an extent is checked whole before its first page is touched. So
//! the memory regions are looked at here, once for the whole source, and a misplaced image installs nothing.
//!
//! **Invariant:** every call names the uid of the launch as it was when opened, so none hits a later launch of the same name.

use stagepages_proto::v1::{LaunchSpec, PageType, StagePagesRequest, StagePagesResponse};

use super::{
    Pages, Progress, Source, StageEnd, StageReport,
    content::Content,
    cut::Cuts,
    limits::CallLimits,
    placed::check,
    run::{Call, run},
};
use crate::{Client, LaunchRef, StagepagesError, addr::Gpa};

/// Pages of one call with bytes, whatever the daemon would take: this much is held in memory.
const MOST_DATA_PAGES: u64 = 4096;

/// Stages into one launch.
#[derive(Clone, Debug)]
pub struct Stager {
    client: Client,
    launch: LaunchRef,
    spec: LaunchSpec,
    limits: CallLimits,
}

impl Stager {
    /// Looks the launch and the daemon's limits up.
    ///
    /// # Errors
    /// LAUNCH_NOT_FOUND, MALFORMED_REQUEST.
    pub async fn open(client: &Client, launch: &LaunchRef) -> Result<Self, StagepagesError> {
        let info = client.node_info().await?;
        let limits = CallLimits::new(info.limits.as_ref(), MOST_DATA_PAGES)?;
        let launch = client.get_launch(launch).await?;
        Ok(Self {
            client: client.clone(),
            launch: LaunchRef::from(&launch),
            spec: launch.spec.unwrap_or_default(),
            limits,
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
        let calls = Calls {
            stager: self,
            page_type,
        };
        match self.cuts(extent, page_type, &source) {
            Ok(cuts) => run(extent, cuts, source, calls, progress).await,
            Err(error) => StageReport {
                end: StageEnd::Failed(error),
                ..StageReport::of_nothing_yet(extent)
            },
        }
    }

    /// Cuts the extent into calls, if all of it can be installed for what is known here.
    fn cuts(
        &self,
        extent: Pages,
        page_type: PageType,
        source: &Source<'_>,
    ) -> Result<Cuts, StagepagesError> {
        check(&self.launch, &self.spec.regions, extent)?;
        self.limits.takes(source)?;
        Ok(Cuts::new(extent, self.limits.longest(page_type, source)))
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
        content: Content,
    ) -> Result<StagePagesResponse, StagepagesError> {
        let mut request = StagePagesRequest {
            name: self.stager.launch.name().into(),
            uid: self.stager.launch.uid().into(),
            gpa: pages.gpa.bytes(),
            page_type: self.page_type.into(),
            ..StagePagesRequest::default()
        };
        content.put(pages, &mut request);
        self.stager.client.stage_pages(request).await
    }
}
