//! Accelerators of this machine: which there are, and how busy they are.
//!
//! NVIDIA's are found through NVML, which is loaded while running: without a driver there are none,
//! and that is no error. Others, or a part of them, can be configured by their ids. Who gets which
//! is decided elsewhere.

use std::sync::LazyLock;

use nvml_wrapper::{Device as Handle, Nvml, error::NvmlError};

/// Most devices a configured number can stand for: far above any machine, and far below a typing
/// error that would cost memory.
const COUNT_MAX: u32 = 1024;

/// An accelerator that can be leased to replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// What a process finds it by in `CUDA_VISIBLE_DEVICES`: its UUID when it was found, else what
    /// was configured.
    pub id: String,
    /// For people, such as `NVIDIA L4`.
    pub name: String,
    pub memory_bytes: Option<u64>,
}

/// How busy a device is, with whatever runs on it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeviceUsage {
    pub memory_used_bytes: u64,
    /// Part of the last moments (up to 1 s, as the driver samples) in which it computed, 0 to 1.
    /// Parts of a divided GPU do not tell.
    pub utilization: Option<f64>,
}

/// The driver's library, loaded when it is first asked for, or why it is not there.
static NVML: LazyLock<Result<Nvml, NvmlError>> = LazyLock::new(Nvml::init);

/// The NVIDIA devices that this process may use, in the driver's order; of a GPU that is divided
/// (MIG) its parts. Empty when there is no driver.
///
/// The server's own `CUDA_VISIBLE_DEVICES` narrows and orders them as it does for a CUDA program;
/// numbers in it count as with `CUDA_DEVICE_ORDER=PCI_BUS_ID`. Talks to the driver, which may take
/// a while.
pub fn detect() -> Vec<Device> {
    let nvml = match &*NVML {
        Ok(nvml) => nvml,
        Err(NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound) => {
            tracing::debug!("no NVIDIA driver, so no devices");
            return Vec::new();
        }
        Err(e) => {
            tracing::warn!("the NVIDIA driver cannot be asked for devices: {e}");
            return Vec::new();
        }
    };
    let found = match nvml.device_count() {
        Ok(count) => (0..count).flat_map(|index| find(nvml, index)).collect(),
        Err(e) => {
            tracing::warn!("the NVIDIA driver does not count its devices: {e}");
            Vec::new()
        }
    };
    visible(found, std::env::var("CUDA_VISIBLE_DEVICES").ok().as_deref())
}

/// Devices as they are configured: `auto` (see [`detect`]), `none`, a number (`4` stands for the
/// ids 0 to 3), or ids separated by commas (`0,1` or `GPU-…`). Ids are not looked up.
///
/// # Errors
///
/// A sentence about what cannot be understood: empty or repeated ids, no or too many devices.
pub fn configured(list: &str) -> Result<Vec<Device>, String> {
    match list.trim() {
        "auto" => Ok(detect()),
        "none" => Ok(Vec::new()),
        "" => Err("the list of devices is empty; write `none` if there are none".to_owned()),
        list => match list.parse::<u32>() {
            Ok(0) => Err("0 devices: write `none` for no device, `1` for the one with the id 0, \
                          or its UUID"
                .to_owned()),
            Ok(count) if count > COUNT_MAX => {
                Err(format!("{count} devices are more than the {COUNT_MAX} that are possible"))
            }
            Ok(count) => Ok((0..count).map(|id| unknown(&id.to_string())).collect()),
            Err(_) => listed(list),
        },
    }
}

/// How busy `device` is. `None` without a driver, or when it does not know the device or does not
/// tell. Talks to the driver, which may take a while.
pub fn usage(device: &Device) -> Option<DeviceUsage> {
    let nvml = NVML.as_ref().ok()?;
    let handle = match device.id.parse() {
        Ok(index) => nvml.device_by_index(index).ok()?,
        Err(_) => nvml.device_by_uuid(device.id.as_str()).ok()?,
    };
    let percent = handle.utilization_rates().ok().map(|rates| rates.gpu);
    Some(DeviceUsage {
        memory_used_bytes: handle.memory_info().ok()?.used,
        utilization: percent.map(|percent| f64::from(percent.min(100)) / 100.0),
    })
}

/// A device and the GPU that it is, or is a part of.
#[derive(Debug, Clone)]
struct Found {
    /// The GPU's number in the order of the driver.
    index: u32,
    gpu_uuid: String,
    device: Device,
}

/// The GPU with this number, or its parts if it is divided.
fn find(nvml: &Nvml, index: u32) -> Vec<Found> {
    let gpu = match nvml.device_by_index(index).and_then(|gpu| Ok((gpu.uuid()?, gpu))) {
        Ok(gpu) => gpu,
        Err(e) => {
            tracing::warn!("GPU {index} cannot be used: {e}");
            return Vec::new();
        }
    };
    let (gpu_uuid, gpu) = gpu;
    // A GPU that cannot be divided answers with an error.
    let is_divided = gpu.mig_mode().is_ok_and(|mode| mode.current == 1);
    if !is_divided {
        return vec![Found { index, device: describe(&gpu, &gpu_uuid), gpu_uuid }];
    }
    let parts = (0..gpu.mig_device_count().unwrap_or(0))
        // Numbers are places, and not all of them are taken.
        .filter_map(|place| gpu.mig_device_by_index(place).ok());
    parts
        .filter_map(|part| Some(describe(&part, &part.uuid().ok()?)))
        .map(|device| Found { index, gpu_uuid: gpu_uuid.clone(), device })
        .collect()
}

fn describe(handle: &Handle<'_>, uuid: &str) -> Device {
    Device {
        id: uuid.to_owned(),
        name: handle.name().unwrap_or_else(|_| "NVIDIA device".to_owned()),
        memory_bytes: handle.memory_info().ok().map(|memory| memory.total),
    }
}

/// What `CUDA_VISIBLE_DEVICES` leaves of `found`, in its order. As for CUDA, an entry that fits
/// nothing hides itself and all that follow.
fn visible(found: Vec<Found>, list: Option<&str>) -> Vec<Device> {
    let Some(list) = list else {
        return found.into_iter().map(|found| found.device).collect();
    };
    let mut kept: Vec<Device> = Vec::new();
    for entry in list.split(',').map(str::trim) {
        let fits = |found: &&Found| match entry.parse::<u32>() {
            Ok(index) => found.index == index,
            // The beginning is enough, and the kind must be there.
            Err(_) if entry.starts_with("GPU-") => found.gpu_uuid.starts_with(entry),
            Err(_) => entry.starts_with("MIG-") && found.device.id.starts_with(entry),
        };
        let fitting: Vec<&Found> = found.iter().filter(fits).collect();
        if fitting.is_empty() {
            break;
        }
        for found in fitting {
            if !kept.contains(&found.device) {
                kept.push(found.device.clone());
            }
        }
    }
    kept
}

fn listed(list: &str) -> Result<Vec<Device>, String> {
    let mut devices: Vec<Device> = Vec::new();
    for id in list.split(',').map(str::trim) {
        if id.is_empty() {
            return Err(format!("the list of devices `{list}` has an empty id"));
        }
        let is_id = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
        if !id.chars().all(is_id) || id.starts_with('-') {
            return Err(format!("`{id}` in the list of devices is no id"));
        }
        if devices.iter().any(|device| device.id == id) {
            return Err(format!("the list of devices names `{id}` twice"));
        }
        devices.push(unknown(id));
    }
    Ok(devices)
}

/// A device that is known by its id alone.
fn unknown(id: &str) -> Device {
    Device { id: id.to_owned(), name: format!("device {id}"), memory_bytes: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(devices: &[Device]) -> Vec<&str> {
        devices.iter().map(|device| device.id.as_str()).collect()
    }

    fn configured_ids(list: &str) -> Vec<String> {
        configured(list).unwrap().into_iter().map(|device| device.id).collect()
    }

    #[test]
    fn devices_are_a_number_or_ids() {
        assert_eq!(configured_ids("none"), [""; 0]);
        assert_eq!(configured_ids(" 3 "), ["0", "1", "2"]);
        assert_eq!(configured_ids("0,2"), ["0", "2"]);
        assert_eq!(configured_ids("GPU-ab-12"), ["GPU-ab-12"]);
        assert_eq!(configured_ids("1, GPU-ab-12,MIG-7"), ["1", "GPU-ab-12", "MIG-7"]);
    }

    #[test]
    fn lists_that_mean_nothing_are_refused_with_the_reason() {
        let refusal = |list: &str| configured(list).unwrap_err();
        assert!(refusal("").contains("empty"));
        assert!(refusal("0").contains("`none`"));
        assert!(refusal("4000000000").contains("1024"));
        for empty in [",", "0,", ",1", "0,,1", "0, ,1"] {
            assert!(refusal(empty).contains("empty id"), "{empty}");
        }
        assert!(refusal("1,0,1").contains("`1` twice"));
        for bad in ["-1", "a b", "99999999999,-2", "0;1", "0,\u{e9}"] {
            assert!(refusal(bad).contains("is no id"), "{bad}");
        }
    }

    /// Two whole GPUs and one with two parts.
    fn found() -> Vec<Found> {
        let found = |index, gpu_uuid: &str, id: &str| Found {
            index,
            gpu_uuid: gpu_uuid.to_owned(),
            device: unknown(id),
        };
        vec![
            found(0, "GPU-aa1", "GPU-aa1"),
            found(1, "GPU-ab2", "GPU-ab2"),
            found(2, "GPU-cc3", "MIG-x"),
            found(2, "GPU-cc3", "MIG-y"),
        ]
    }

    #[test]
    fn own_visible_devices_narrow_and_order() {
        let visible = |list| visible(found(), list);
        assert_eq!(ids(&visible(None)), ["GPU-aa1", "GPU-ab2", "MIG-x", "MIG-y"]);
        assert_eq!(ids(&visible(Some("1,0"))), ["GPU-ab2", "GPU-aa1"]);
        assert_eq!(ids(&visible(Some("GPU-ab, GPU-aa1"))), ["GPU-ab2", "GPU-aa1"]);
        assert_eq!(ids(&visible(Some("2"))), ["MIG-x", "MIG-y"]);
        assert_eq!(ids(&visible(Some("MIG-y,0"))), ["MIG-y", "GPU-aa1"]);
        assert_eq!(ids(&visible(Some("1,1"))), ["GPU-ab2"]);
    }

    #[test]
    fn entry_that_fits_nothing_hides_the_rest() {
        for (list, left) in [("", 0), ("-1", 0), ("NoDevFiles", 0), ("0,7,1", 1), ("0,,1", 1)] {
            assert_eq!(visible(found(), Some(list)).len(), left, "{list}");
        }
    }

    #[test]
    fn device_nobody_knows_has_no_usage() {
        assert_eq!(usage(&unknown("GPU-00000000-none")), None);
    }
}
