//! The calls that the model knows, by the kernel's names and numbers.
//!
//! **Invariant:** a number stands for one call only, its size field included.

use serde::{Deserialize, Serialize};

/// `_IO(KVMIO, nr)`.
const fn io(nr: u64) -> u64 {
    0xae00 | nr
}

/// `_IOW(KVMIO, nr, size bytes)`.
const fn iow(nr: u64, size: u64) -> u64 {
    0x4000_0000 | size << 16 | io(nr)
}

/// `_IOR(KVMIO, nr, size bytes)`.
const fn ior(nr: u64, size: u64) -> u64 {
    0x8000_0000 | size << 16 | io(nr)
}

/// `_IOWR(KVMIO, nr, size bytes)`.
const fn iowr(nr: u64, size: u64) -> u64 {
    0xc000_0000 | size << 16 | io(nr)
}

macro_rules! calls {
    (
        ioctls { $($ioctl:ident = $ioctl_name:literal, $number:expr;)+ }
        commands { $($command:ident = $command_name:literal;)+ }
    ) => {
        /// A call, named as in the kernel's headers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Call {
            $(#[doc = concat!("`", $ioctl_name, "`")] #[serde(rename = $ioctl_name)] $ioctl,)+
            $(
                #[doc = concat!("`", $command_name, "`, a command of `KVM_MEMORY_ENCRYPT_OP`")]
                #[serde(rename = $command_name)]
                $command,
            )+
        }

        impl Call {
            /// The kernel's name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$ioctl => $ioctl_name,)+
                    $(Self::$command => $command_name,)+
                }
            }

            /// The ioctl with this number.
            #[must_use]
            pub fn from_request(request: u64) -> Option<Self> {
                $(if request == $number { return Some(Self::$ioctl); })+
                None
            }
        }
    };
}

calls! {
    ioctls {
        GetApiVersion = "KVM_GET_API_VERSION", io(0x00);
        CreateVm = "KVM_CREATE_VM", io(0x01);
        CheckExtension = "KVM_CHECK_EXTENSION", io(0x03);
        GetVcpuMmapSize = "KVM_GET_VCPU_MMAP_SIZE", io(0x04);
        GetSupportedCpuid = "KVM_GET_SUPPORTED_CPUID", iowr(0x05, 8);
        CreateVcpu = "KVM_CREATE_VCPU", io(0x41);
        SetUserMemoryRegion = "KVM_SET_USER_MEMORY_REGION", iow(0x46, 32);
        SetUserMemoryRegion2 = "KVM_SET_USER_MEMORY_REGION2", iow(0x49, 160);
        CreateIrqchip = "KVM_CREATE_IRQCHIP", io(0x60);
        Run = "KVM_RUN", io(0x80);
        GetRegs = "KVM_GET_REGS", ior(0x81, 144);
        SetRegs = "KVM_SET_REGS", iow(0x82, 144);
        GetSregs = "KVM_GET_SREGS", ior(0x83, 312);
        SetSregs = "KVM_SET_SREGS", iow(0x84, 312);
        GetMsrs = "KVM_GET_MSRS", iowr(0x88, 8);
        SetMsrs = "KVM_SET_MSRS", iow(0x89, 8);
        SetSignalMask = "KVM_SET_SIGNAL_MASK", iow(0x8b, 4);
        SetCpuid2 = "KVM_SET_CPUID2", iow(0x90, 8);
        GetCpuid2 = "KVM_GET_CPUID2", iowr(0x91, 8);
        GetMpState = "KVM_GET_MP_STATE", ior(0x98, 4);
        SetMpState = "KVM_SET_MP_STATE", iow(0x99, 4);
        EnableCap = "KVM_ENABLE_CAP", iow(0xa3, 104);
        MemoryEncryptOp = "KVM_MEMORY_ENCRYPT_OP", iowr(0xba, 8);
        SetMemoryAttributes = "KVM_SET_MEMORY_ATTRIBUTES", iow(0xd2, 32);
        CreateGuestMemfd = "KVM_CREATE_GUEST_MEMFD", iowr(0xd4, 64);
        GetDeviceAttr = "KVM_GET_DEVICE_ATTR", iow(0xe2, 24);
        HasDeviceAttr = "KVM_HAS_DEVICE_ATTR", iow(0xe3, 24);
    }
    commands {
        SevInit2 = "KVM_SEV_INIT2";
        SnpLaunchStart = "KVM_SEV_SNP_LAUNCH_START";
        SnpLaunchUpdate = "KVM_SEV_SNP_LAUNCH_UPDATE";
        SnpLaunchFinish = "KVM_SEV_SNP_LAUNCH_FINISH";
        TdxCapabilities = "KVM_TDX_CAPABILITIES";
        TdxInitVm = "KVM_TDX_INIT_VM";
        TdxInitVcpu = "KVM_TDX_INIT_VCPU";
        TdxInitMemRegion = "KVM_TDX_INIT_MEM_REGION";
        TdxFinalizeVm = "KVM_TDX_FINALIZE_VM";
        TdxGetCpuid = "KVM_TDX_GET_CPUID";
    }
}

impl Call {
    /// SNP's command with this id.
    #[must_use]
    pub fn from_sev_id(id: u32) -> Option<Self> {
        match id {
            22 => Some(Self::SevInit2),
            100 => Some(Self::SnpLaunchStart),
            101 => Some(Self::SnpLaunchUpdate),
            102 => Some(Self::SnpLaunchFinish),
            _ => None,
        }
    }

    /// TDX's command with this id.
    #[must_use]
    pub fn from_tdx_id(id: u32) -> Option<Self> {
        match id {
            0 => Some(Self::TdxCapabilities),
            1 => Some(Self::TdxInitVm),
            2 => Some(Self::TdxInitVcpu),
            3 => Some(Self::TdxInitMemRegion),
            4 => Some(Self::TdxFinalizeVm),
            5 => Some(Self::TdxGetCpuid),
            _ => None,
        }
    }

    /// Installs pages, one after the other.
    #[must_use]
    pub fn installs_pages(self) -> bool {
        matches!(self, Self::SnpLaunchUpdate | Self::TdxInitMemRegion)
    }

    /// A command of SNP's launch, which firmware can refuse.
    #[must_use]
    pub fn is_sev(self) -> bool {
        matches!(
            self,
            Self::SevInit2 | Self::SnpLaunchStart | Self::SnpLaunchUpdate | Self::SnpLaunchFinish
        )
    }

    /// A command of TDX.
    #[must_use]
    pub fn is_tdx(self) -> bool {
        matches!(
            self,
            Self::TdxCapabilities
                | Self::TdxInitVm
                | Self::TdxInitVcpu
                | Self::TdxInitMemRegion
                | Self::TdxFinalizeVm
                | Self::TdxGetCpuid
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_reference() {
        // kernel.md section 2.1, compiled from Linux 7.1's headers.
        for (number, call) in [
            (0xae01, Call::CreateVm),
            (0xae41, Call::CreateVcpu),
            (0xae03, Call::CheckExtension),
            (0x4068_aea3, Call::EnableCap),
            (0x4018_aee3, Call::HasDeviceAttr),
            (0x4018_aee2, Call::GetDeviceAttr),
            (0x4020_ae46, Call::SetUserMemoryRegion),
            (0x40a0_ae49, Call::SetUserMemoryRegion2),
            (0x4020_aed2, Call::SetMemoryAttributes),
            (0xc040_aed4, Call::CreateGuestMemfd),
            (0xc008_aeba, Call::MemoryEncryptOp),
        ] {
            assert_eq!(Call::from_request(number), Some(call));
        }
        assert_eq!(Call::from_request(0xae02), None);
    }

    #[test]
    fn a_name_reads_back_as_its_call() {
        let written = serde_json::to_string(&Call::SnpLaunchUpdate).unwrap();
        assert_eq!(written, "\"KVM_SEV_SNP_LAUNCH_UPDATE\"");
        assert_eq!(
            serde_json::from_str::<Call>(&written).unwrap(),
            Call::SnpLaunchUpdate
        );
        serde_json::from_str::<Call>("\"KVM_SEV_LAUNCH\"").unwrap_err();
    }
}
