//! An image that is pulled and planned, and what is said of that.
//!
//! **Invariant:** what a pull failed for stays said until it is mended; a fault of the plan is none of the image.

use stagepages_client::hex;

use super::{
    carry::number,
    life::Life,
    memory::Held,
    options,
    prepare::{self, Opened, Prepared},
};
use crate::{
    fault::Fault,
    registry::Purpose,
    resources::{ConfidentialLaunchStatus, Truth},
};

/// The condition of an image that is on this node.
const IMAGE_READY: &str = "ImageReady";

impl Life {
    /// Pulls and plans; what it failed at is the condition that does not hold.
    pub(super) async fn prepare(&self) -> Result<Prepared, (&'static str, Fault)> {
        let spec = &self.launch.spec;
        let settings = spec.settings();
        let name = spec.image.name();
        let is_told =
            |it: &ConfidentialLaunchStatus| it.conditions.iter().any(|it| it.kind == IMAGE_READY);
        // What it failed for before stays said until it is mended.
        if !self.teller.status(is_told) {
            let text = match spec.image.reference {
                Some(_) => format!("pulling {name}"),
                None => format!("looking for {name} on this node"),
            };
            self.teller
                .condition(IMAGE_READY, Truth::False, "PULLING", text);
        }
        let unready = |fault| (IMAGE_READY, fault);
        let fetched = prepare::fetch(
            &self.context.puller,
            &spec.image,
            &settings,
            Purpose::Launch,
        )
        .await
        .map_err(unready)?;
        let held = self.room(fetched.bytes()).await;
        let opened = prepare::open(fetched, spec.platform, settings, held)
            .await
            .map_err(unready)?;
        let text = format!(
            "{name} is on this node, {} bytes with all that belongs to it",
            opened.bytes
        );
        if self
            .teller
            .condition(IMAGE_READY, Truth::True, "PULLED", &text)
        {
            self.context.events.normal(&self.about, "Pulled", &text);
        }
        self.planned(opened)
            .await
            .map_err(|fault| ("Planned", fault))
    }

    /// Room in memory for so many bytes; that it is waited for is said.
    async fn room(&self, bytes: u64) -> Held {
        let memory = &self.context.memory;
        if let Some(held) = memory.try_hold(bytes) {
            return held;
        }
        let text = format!(
            "it is on this node, and others are being staged there whose images leave no room for its {bytes} bytes in the node agent's memory: it is next when one of them is done; --image-memory of the node agent says how much room there is"
        );
        self.teller
            .condition(IMAGE_READY, Truth::False, "WAITING_FOR_MEMORY", text);
        memory.hold(bytes).await
    }

    async fn planned(&self, opened: Opened) -> Result<Prepared, Fault> {
        let spec = &self.launch.spec;
        let expected = { spec.expected_launch_digest.as_deref() }
            .map(|it| options::digest("spec.expectedLaunchDigest", it))
            .transpose()?;
        let prepared = prepare::plan(opened, expected).await?;
        let mut text = format!("{} pages", prepared.plan.pages());
        for warning in &prepared.warnings {
            text.push_str("; ");
            text.push_str(warning);
        }
        self.teller.update(|status| {
            status.total_pages = Some(number(prepared.plan.pages()));
            status.planned_digest = prepared.digest.map(|it| hex::digits(&it));
        });
        self.teller
            .condition("Planned", Truth::True, "PLANNED", text);
        Ok(prepared)
    }
}
