//! A launch and its device: bound to the one that kubelet gave its pod, and parted from one that kubelet gave another.
//!
//! **Invariant:** a launch is bound once; a device that is another pod's by now is not its any more.

use kube::ResourceExt as _;

use super::{
    finalizer,
    life::{End, Life},
    pods,
};
use crate::{fault::Fault, resources::Truth};

/// The condition.
const BOUND: &str = "Bound";

impl Life {
    /// Binds it: to the pod, to this node, and to the device that kubelet gave the pod.
    pub(super) async fn bound(&self) -> Result<String, Fault> {
        let spec = &self.launch.spec;
        let pod = self.wish.borrow().pod.clone();
        let pod = pod.ok_or_else(|| {
            Fault::passing(
                "POD_GONE",
                format!("the Pod {} is not on this node", spec.pod_name),
            )
        })?;
        self.teller.update(|status| {
            status.node = Some(self.context.node.clone());
            status
                .pod_uid
                .get_or_insert_with(|| pods::uid(&pod).to_owned());
        });
        let is_told = self.teller.told().await;
        if !is_told || !self.has_finalizer().await? {
            let text = "the object is deleted, or another node's";
            return Err(Fault::passing("DELETED", text));
        }
        let resource = format!("stagepages.dev/{}", spec.platform.word());
        if !pods::requests(&pod, spec.platform) {
            let text = format!(
                "the Pod {} requests no {resource}; put it into the limits of one of its containers, and create Pod and ConfidentialLaunch anew",
                spec.pod_name
            );
            return Err(Fault::lasting("POD_WITHOUT_DEVICE", text));
        }
        if let Some(device) = self.teller.status(|it| it.device.clone()) {
            self.is_bound(&device);
            return Ok(device);
        }
        if let Some(fault) = self.without_platform().await {
            return Err(fault);
        }
        let namespace = self.launch.namespace().unwrap_or_default();
        let allotted = self
            .context
            .devices
            .allotted(&namespace, &spec.pod_name, spec.platform)
            .await?;
        if allotted.is_empty() {
            let text = format!(
                "kubelet has not given the Pod {} a device of {resource} yet; it does when it admits the Pod to the node",
                spec.pod_name
            );
            return Err(Fault::passing("WAITING_FOR_DEVICE", text));
        }
        let uid = self.launch.uid().unwrap_or_default();
        let Some(device) = self.context.devices.take(&uid, &allotted) else {
            let text = format!(
                "the Pod {} has {} of {resource}, and another ConfidentialLaunch has each of them; delete that one, or give the Pod more",
                spec.pod_name,
                allotted.len()
            );
            return Err(Fault::passing("DEVICE_TAKEN", text));
        };
        self.teller
            .update(|status| status.device = Some(device.clone()));
        self.is_bound(&device);
        self.teller.told().await;
        Ok(device)
    }

    /// Says that it is, where that was not said, or is mended.
    fn is_bound(&self, device: &str) {
        let is_said = self.teller.status(|status| {
            { status.conditions.iter() }.any(|it| it.kind == BOUND && it.status == Truth::True)
        });
        if is_said {
            return;
        }
        let text = format!(
            "to the Pod {} and its device {device} on the node {}",
            self.launch.spec.pod_name, self.context.node
        );
        self.teller.condition(BOUND, Truth::True, "BOUND", &text);
        self.context.events.normal(&self.about, "Bound", &text);
    }

    /// Whether the object has the finalizer, which it is given; false if it is gone.
    async fn has_finalizer(&self) -> Result<bool, Fault> {
        let known = self.wish.borrow().launch.clone();
        match known.is_some_and(|it| finalizer::is_on(&it)) {
            true => Ok(true),
            false => finalizer::put(&self.context, &self.launch, true).await,
        }
    }

    /// Whether kubelet gave its device to another pod.
    pub(super) async fn device_lost(&self) -> Option<End> {
        let (device, is_over) = self
            .teller
            .status(|it| (it.device.clone(), it.state.is_over()));
        let device = device.filter(|_| !is_over)?;
        let holder = self.context.devices.holder(&device).await.ok()??;
        let namespace = self.launch.namespace().unwrap_or_default();
        let own = (namespace.as_str(), self.launch.spec.pod_name.as_str());
        ((holder.namespace.as_str(), holder.name.as_str()) != own).then(|| {
            End::Device(format!(
                "the device {device} was given to the Pod {} of namespace {}",
                holder.name, holder.namespace
            ))
        })
    }

    /// Whether kubelet has taken its device from its pod; then it was emptied, or is, for the next.
    pub(super) async fn device_taken(&self) -> Option<End> {
        let device = self.teller.status(|it| it.device.clone())?;
        let namespace = self.launch.namespace().unwrap_or_default();
        let spec = &self.launch.spec;
        let allotted = self
            .context
            .devices
            .allotted(&namespace, &spec.pod_name, spec.platform)
            .await
            .ok()?;
        (!allotted.contains(&device)).then(|| {
            End::Device(format!(
                "kubelet has taken the device {device} from the Pod {}, and it was emptied for the next",
                spec.pod_name
            ))
        })
    }
}
