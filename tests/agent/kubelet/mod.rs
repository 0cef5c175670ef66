//! Devices, against a stand-in for kubelet.

mod life;
