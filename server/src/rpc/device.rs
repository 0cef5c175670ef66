//! What a device may create launches of: its own platform.
//!
//! **Invariant:** a launch of a device's tenant is on that device's platform.

use stagepages_proto::v1;

use super::{convert, reason::Reason, status::ApiError};
use crate::auth::{DeviceId, Tenant};

/// Puts a device's platform into a spec that names none. That of another tenant stays as it is.
///
/// # Errors
/// PERMISSION: it names another.
pub(super) fn own_platform(
    tenant: &Tenant,
    spec: Option<&mut v1::LaunchSpec>,
) -> Result<(), ApiError> {
    let (Some(device), Some(spec)) = (tenant.device(), spec) else {
        return Ok(());
    };
    let own = convert::platform(device.platform());
    match convert::platform_from(spec.platform) {
        Ok(None) => {
            spec.platform = own.into();
            Ok(())
        }
        Ok(Some(named)) if named != device.platform() => Err(of_another(device, named)),
        // What is no platform at all is told with everything else that is wrong.
        Ok(Some(_)) | Err(_) => Ok(()),
    }
}

fn of_another(device: DeviceId, named: impl std::fmt::Display) -> ApiError {
    let text = format!(
        "device {device} creates launches on {} alone, and spec.platform is {named}; name {} or none, or ask for a device of that platform",
        device.platform(),
        device.platform()
    );
    ApiError::new(Reason::Permission, text).meta("platform", device.platform())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(tenant: &str, platform: i32) -> Result<i32, Reason> {
        let mut spec = v1::LaunchSpec {
            platform,
            ..Default::default()
        };
        let tenant = tenant.parse().unwrap();
        own_platform(&tenant, Some(&mut spec)).map_err(|error| error.reason())?;
        Ok(spec.platform)
    }

    #[test]
    fn a_device_has_its_own_platform_and_others_any() {
        let [none, sim, kvm] = [
            v1::Platform::Unspecified,
            v1::Platform::Sim,
            v1::Platform::Kvm,
        ]
        .map(i32::from);
        assert_eq!(asked("device:kvm-0", none), Ok(kvm));
        assert_eq!(asked("device:kvm-0", kvm), Ok(kvm));
        assert_eq!(asked("device:kvm-0", sim), Err(Reason::Permission));
        assert_eq!(asked("device:kvm-0", 99), Ok(99));
        assert_eq!(asked("blue", none), Ok(none));
        assert_eq!(asked("blue", sim), Ok(sim));
        own_platform(&"device:kvm-0".parse().unwrap(), None).unwrap();
    }
}
