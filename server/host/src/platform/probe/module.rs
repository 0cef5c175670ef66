//! Parameters of the modules kvm_amd and kvm_intel, in /sys/module.
//!
//! The kernel shows there what it made of a parameter, not what it was given: `sev_snp=1` on a machine without SNP reads N
//! (`sev_hardware_setup()`, arch/x86/kvm/svm/sev.c; `tdx_bringup()`, arch/x86/kvm/vmx/tdx.c). A module that is built in has the same files.
//!
//! **Invariant:** a parameter that cannot be read is held against nobody to whom KVM offers the VM type.

use std::{fs, io};

use super::{Check, file};

/// A parameter that has to be on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter {
    /// The module.
    pub(super) module: &'static str,
    /// Its parameter.
    pub(super) name: &'static str,
    /// What the machine needs for the module to be of use.
    pub(super) machine: &'static str,
    /// What the kernel needs to have the parameter.
    pub(super) kernel: &'static str,
    /// What turns it on.
    pub(super) enable: &'static str,
}

/// Looks at the parameter; `offered` says whether KVM offers the VM type that it is for.
pub(super) fn check(parameter: &Parameter, offered: bool) -> Check {
    let module = format!("/sys/module/{}", parameter.module);
    let value = file::read(format!("{module}/parameters/{}", parameter.name));
    let loaded = fs::metadata(module).is_ok();
    judge(parameter, &value, loaded, offered)
}

fn judge(parameter: &Parameter, value: &io::Result<String>, loaded: bool, offered: bool) -> Check {
    let subject = format!("{}.{}", parameter.module, parameter.name);
    let (found, remedy) = match value.as_ref().map(|value| value.trim_ascii()) {
        Ok(on @ ("Y" | "1")) => return Check::there(subject, on),
        Ok(off @ ("N" | "0")) => return Check::missing(subject, off, parameter.enable),
        Ok(other) => {
            let found = format!("neither Y nor N: {:?}", head(other));
            (found, parameter.enable.to_owned())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && !loaded => {
            let remedy = format!("load {}: {}", parameter.module, parameter.machine);
            ("the module is not loaded".to_owned(), remedy)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let found = "the module has no such parameter".to_owned();
            (found, parameter.kernel.to_owned())
        }
        Err(error) => {
            let remedy =
                "let the daemon's user read /sys/module, which is open to all unless it is masked";
            (error.to_string(), remedy.to_owned())
        }
    };
    if offered {
        Check::there(subject, format!("{found}, but KVM offers the VM type"))
    } else {
        Check::missing(subject, found, remedy)
    }
}

/// As much of a value as is worth showing.
fn head(value: &str) -> String {
    value.chars().take(16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMETER: Parameter = Parameter {
        module: "kvm_amd",
        name: "sev_snp",
        machine: "an EPYC",
        kernel: "a newer kernel",
        enable: "turn it on",
    };

    fn judged(value: Result<&str, io::ErrorKind>, loaded: bool, offered: bool) -> Check {
        let value = value.map(str::to_owned).map_err(io::Error::from);
        judge(&PARAMETER, &value, loaded, offered)
    }

    #[test]
    fn a_parameter_is_on_or_has_a_way_out() {
        let absent = Err(io::ErrorKind::NotFound);
        let cases = [
            (Ok("Y\n"), true, None),
            (Ok("1\n"), true, None),
            (Ok("N\n"), true, Some(("N", "turn it on"))),
            (Ok("0"), true, Some(("0", "turn it on"))),
            (
                Ok("\n"),
                true,
                Some(("neither Y nor N: \"\"", "turn it on")),
            ),
            (
                absent,
                false,
                Some(("the module is not loaded", "load kvm_amd: an EPYC")),
            ),
            (
                absent,
                true,
                Some(("the module has no such parameter", "a newer kernel")),
            ),
        ];
        for (value, loaded, missing) in cases {
            let check = judged(value, loaded, false);
            assert_eq!(check.subject, "kvm_amd.sev_snp");
            let said = (!check.ok).then_some((check.found.as_str(), check.remedy.as_str()));
            assert_eq!(said, missing, "{value:?}");
        }
        let masked = judged(Err(io::ErrorKind::PermissionDenied), true, false);
        assert!(
            !masked.ok && masked.remedy.contains("/sys/module"),
            "{masked:?}"
        );
    }

    #[test]
    fn what_kvm_offers_is_believed_over_a_file_that_says_nothing() {
        for value in [
            Err(io::ErrorKind::NotFound),
            Err(io::ErrorKind::PermissionDenied),
            Ok("?"),
        ] {
            let check = judged(value, false, true);
            assert!(check.ok && check.remedy.is_empty(), "{check:?}");
            assert!(
                check.found.ends_with("but KVM offers the VM type"),
                "{check:?}"
            );
        }
        assert!(!judged(Ok("N"), true, true).ok, "the kernel says no");
    }

    #[test]
    fn a_long_value_is_not_repeated_at_length() {
        let check = judged(Ok(&"x".repeat(4096)), true, false);
        assert!(check.found.len() < 64, "{check:?}");
    }
}
