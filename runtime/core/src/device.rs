//! Leases on the machine's accelerators.
//!
//! A device has a thousand thousandths. Whoever wants whole devices gets ones that nobody uses, the
//! first of them in order. Who wants a part of one gets it on the fullest device that still has it,
//! so that whole ones stay free. A device is never shared between the two. Parts are an agreement:
//! nothing keeps a process from using more of the device than it leased.

use std::fmt;

/// Thousandths in a device.
pub const WHOLE: u32 = 1000;

/// How much one worker wants: whole devices, or a part of one in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(u32);

impl Share {
    /// From a number of devices: a whole number from 1, or a fraction between 0.001 and 0.999,
    /// which is rounded to thousandths.
    ///
    /// # Errors
    ///
    /// [`BadShare`] for anything else, like 0, 1.5 or NaN.
    pub fn from_f64(devices: f64) -> Result<Self, BadShare> {
        let thousandths = (devices * f64::from(WHOLE)).round();
        let is_part = devices < 1.0 && (1.0..f64::from(WHOLE)).contains(&thousandths);
        let is_whole =
            devices >= 1.0 && devices.fract() == 0.0 && thousandths <= f64::from(u32::MAX);
        if is_part || is_whole { Ok(Share(thousandths as u32)) } else { Err(BadShare(devices)) }
    }

    /// As a number of devices.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / f64::from(WHOLE)
    }

    /// In thousandths of a device.
    pub fn thousandths(self) -> u32 {
        self.0
    }

    /// How many devices it touches.
    fn devices(self) -> usize {
        self.0.div_ceil(WHOLE) as usize
    }

    /// What it takes of each.
    fn of_each(self) -> u32 {
        self.0.min(WHOLE)
    }
}

/// A number that is no share of devices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BadShare(f64);

impl fmt::Display for BadShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, limit) = (self.0, u32::MAX / WHOLE);
        if number.abs() < 1e9 {
            write!(f, "{number}")?;
        } else {
            write!(f, "{number:e}")?;
        }
        write!(
            f,
            " is no number of devices: write a whole number from 1 to {limit}, or a fraction \
             between 0.001 and 0.999"
        )
    }
}

impl std::error::Error for BadShare {}

/// What one worker holds until it is given back with [`Devices::release`].
#[derive(Debug, PartialEq, Eq)]
pub struct DeviceLease {
    id: u64,
    devices: Vec<usize>,
    share: Share,
}

impl DeviceLease {
    /// Indices of its devices, lowest first.
    pub fn devices(&self) -> impl Iterator<Item = usize> {
        self.devices.iter().copied()
    }

    /// How much it is: of each device all, or of the only one a part.
    pub fn share(&self) -> Share {
        self.share
    }
}

/// How one device is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceUse {
    /// Thousandths that are leased.
    pub taken: u32,
    /// The holders and the thousandths of each lease, in the order in which they came.
    pub holders: Vec<(u64, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct Hold {
    lease: u64,
    holder: u64,
    thousandths: u32,
}

/// The accelerators of the machine, by index.
#[derive(Debug)]
pub struct Devices {
    /// What is leased of each device.
    holds: Vec<Vec<Hold>>,
    next_lease: u64,
}

impl Devices {
    /// This many devices, all free.
    pub fn new(count: usize) -> Self {
        Devices { holds: vec![Vec::new(); count], next_lease: 0 }
    }

    /// Leases `share` for each of `workers` workers, or nothing at all if that is not free.
    /// `holder` is shown by [`Devices::in_use`].
    pub fn lease(&mut self, share: Share, workers: u32, holder: u64) -> Option<Vec<DeviceLease>> {
        if self.fits(share, workers) < workers {
            return None;
        }
        Some((0..workers).map(|_| self.lease_one(share, holder)).collect())
    }

    /// For how many workers `share` is free now, at most `most`.
    pub fn fits(&self, share: Share, most: u32) -> u32 {
        let places: usize = if share.0 < WHOLE {
            (0..self.holds.len()).map(|index| (self.room(index) / share.0) as usize).sum()
        } else {
            self.holds.iter().filter(|holds| holds.is_empty()).count() / share.devices()
        };
        u32::try_from(places).unwrap_or(u32::MAX).min(most)
    }

    /// Gives a lease back.
    ///
    /// # Panics
    ///
    /// If the lease is not one of these devices'. It cannot be given back twice or be made up: it
    /// is neither copied nor made elsewhere.
    pub fn release(&mut self, lease: DeviceLease) {
        for index in lease.devices {
            let holds = self.holds.get_mut(index).expect("a lease is on devices that exist");
            let place = holds.iter().position(|hold| {
                hold.lease == lease.id && hold.thousandths == lease.share.of_each()
            });
            holds.remove(place.expect("a lease is given back once, where it came from"));
        }
    }

    /// Thousandths of each device that are free. What is left of one that is leased in parts is
    /// free for other parts only.
    #[cfg(test)]
    fn free(&self) -> Vec<u32> {
        self.holds.iter().map(|holds| WHOLE - taken(holds)).collect()
    }

    /// How each device is used.
    pub fn in_use(&self) -> Vec<DeviceUse> {
        let describe = |holds: &Vec<Hold>| DeviceUse {
            taken: taken(holds),
            holders: holds.iter().map(|hold| (hold.holder, hold.thousandths)).collect(),
        };
        self.holds.iter().map(describe).collect()
    }

    /// One worker's lease; there is room for it.
    fn lease_one(&mut self, share: Share, holder: u64) -> DeviceLease {
        let all = 0..self.holds.len();
        let devices: Vec<usize> = if share.0 < WHOLE {
            let fitting = all.filter(|&index| self.room(index) >= share.0);
            fitting.min_by_key(|&index| (self.room(index), index)).into_iter().collect()
        } else {
            all.filter(|&index| self.holds[index].is_empty()).take(share.devices()).collect()
        };
        assert_eq!(devices.len(), share.devices(), "the caller looked for room");
        let id = self.next_lease;
        self.next_lease += 1;
        for &index in &devices {
            self.holds[index].push(Hold { lease: id, holder, thousandths: share.of_each() });
        }
        DeviceLease { id, devices, share }
    }

    fn room(&self, index: usize) -> u32 {
        WHOLE - taken(&self.holds[index])
    }
}

fn taken(holds: &[Hold]) -> u32 {
    holds.iter().map(|hold| hold.thousandths).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn share(devices: f64) -> Share {
        Share::from_f64(devices).expect("a share")
    }

    /// Leases for one worker; answers the devices.
    #[track_caller]
    fn one(devices: &mut Devices, wanted: f64) -> DeviceLease {
        let mut leases = devices.lease(share(wanted), 1, 7).expect("there is room");
        assert_eq!(leases.len(), 1);
        leases.remove(0)
    }

    #[test]
    fn shares_are_whole_numbers_or_fractions() {
        for (devices, thousandths) in
            [(1.0, 1000), (3.0, 3000), (0.5, 500), (0.001, 1), (0.999, 999), (1.0 / 3.0, 333)]
        {
            let share = share(devices);
            assert_eq!(share.thousandths(), thousandths);
            assert_eq!(share.as_f64(), f64::from(thousandths) / 1000.0);
        }
        for bad in [0.0, -1.0, -0.5, 1.5, 0.0001, 0.9999, f64::NAN, f64::INFINITY, 1e9] {
            assert!(Share::from_f64(bad).is_err(), "{bad}");
        }
        let problem = Share::from_f64(1.5).expect_err("it is neither").to_string();
        assert_eq!(
            problem,
            "1.5 is no number of devices: write a whole number from 1 to 4294967, \
             or a fraction between 0.001 and 0.999"
        );
    }

    #[test]
    fn whole_devices_are_the_first_ones_that_nobody_uses() {
        let mut devices = Devices::new(4);
        let part = one(&mut devices, 0.5);
        assert!(part.devices().eq([0]));
        let pair = one(&mut devices, 2.0);
        assert!(pair.devices().eq([1, 2]));
        assert_eq!(devices.lease(share(2.0), 1, 7), None);
        devices.release(part);
        let other = one(&mut devices, 2.0);
        assert!(other.devices().eq([0, 3]));
        assert_eq!(devices.free(), [0, 0, 0, 0]);
    }

    #[test]
    fn parts_go_to_the_fullest_device_that_has_room() {
        let mut devices = Devices::new(3);
        let large = one(&mut devices, 0.7);
        let second = one(&mut devices, 0.5);
        assert!(large.devices().eq([0]) && second.devices().eq([1]));
        assert!(one(&mut devices, 0.4).devices().eq([1]));
        assert!(one(&mut devices, 0.1).devices().eq([1]));
        assert!(one(&mut devices, 0.3).devices().eq([0]));
        assert_eq!(devices.free(), [0, 0, 1000]);
    }

    #[test]
    fn a_gang_gets_all_or_nothing() {
        let mut devices = Devices::new(4);
        let one = one(&mut devices, 0.25);
        assert_eq!(devices.fits(share(2.0), 9), 1);
        assert_eq!(devices.lease(share(2.0), 2, 1), None);
        assert_eq!(devices.free(), [750, 1000, 1000, 1000], "nothing was taken");
        assert_eq!((devices.fits(share(0.5), 9), devices.fits(share(0.5), 3)), (7, 3));
        let gang = devices.lease(share(1.0), 3, 2).expect("three are free");
        let each: Vec<Vec<usize>> = gang.iter().map(|lease| lease.devices().collect()).collect();
        assert_eq!(each, [[1], [2], [3]]);
        devices.release(one);
        gang.into_iter().for_each(|lease| devices.release(lease));
        assert_eq!(devices.free(), [1000; 4]);
    }

    #[test]
    fn the_view_says_who_holds_what() {
        let mut devices = Devices::new(2);
        let half = devices.lease(share(0.5), 1, 11).expect("there is room");
        let quarter = devices.lease(share(0.25), 1, 12).expect("there is room");
        let whole = devices.lease(share(1.0), 1, 13).expect("there is room");
        let expected = [
            DeviceUse { taken: 750, holders: vec![(11, 500), (12, 250)] },
            DeviceUse { taken: 1000, holders: vec![(13, 1000)] },
        ];
        assert_eq!(devices.in_use(), expected);
        for lease in half.into_iter().chain(quarter).chain(whole) {
            devices.release(lease);
        }
        assert_eq!(devices.in_use(), [DeviceUse::default(), DeviceUse::default()]);
    }

    #[test]
    #[should_panic(expected = "given back once, where it came from")]
    fn a_lease_of_other_devices_is_not_taken_back() {
        let mut here = Devices::new(1);
        let mut there = Devices::new(1);
        drop(one(&mut here, 0.5));
        drop(one(&mut here, 0.5));
        let first = one(&mut there, 0.5);
        let second = one(&mut there, 0.5);
        there.release(first);
        there.release(second);
        let third = one(&mut there, 0.5);
        here.release(third);
    }

    /// One random step: a lease for a gang, or one lease of those that are out is given back.
    #[derive(Clone, Debug)]
    enum Step {
        Lease(u32, u32),
        Release(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let thousandths = prop_oneof![
            1u32..1000,
            (1u32..8).prop_map(|eighth| eighth * 125),
            (1u32..4).prop_map(|count| count * 1000)
        ];
        prop_oneof![
            3 => (thousandths, 1u32..4).prop_map(|(share, workers)| Step::Lease(share, workers)),
            2 => (0usize..100).prop_map(Step::Release),
        ]
    }

    /// Whether workers from `workers` on find places: tries every device for every part, and
    /// counts for whole devices.
    fn finds(free: &mut [u32], share: u32, workers: u32) -> bool {
        if share >= 1000 {
            let whole = free.iter().filter(|&&free| free == 1000).count() as u32;
            return whole >= workers * (share / 1000);
        }
        if workers == 0 {
            return true;
        }
        (0..free.len()).any(|index| {
            let fits = free[index] >= share;
            if fits {
                free[index] -= share;
            }
            let found = fits && finds(free, share, workers - 1);
            if fits {
                free[index] += share;
            }
            found
        })
    }

    /// A part is on the device on which it leaves the least; of the whole device nobody else has
    /// any. `free` is what there was before.
    fn check_lease(lease: &DeviceLease, free: &mut [u32]) {
        let share = lease.share().thousandths();
        if share < 1000 {
            let index = lease.devices().next().expect("a part is on a device");
            let least = free.iter().filter(|&&room| room >= share).min().copied();
            assert_eq!(Some(free[index]), least, "the fullest device that has room");
            free[index] -= share;
        } else {
            for index in lease.devices() {
                assert_eq!(free[index], 1000, "nobody else uses it");
                free[index] = 0;
            }
        }
    }

    proptest! {
        #[test]
        fn leases_fit_and_come_back(count in 0usize..5, steps in vec(step(), 1..60)) {
            let mut devices = Devices::new(count);
            let mut out: Vec<DeviceLease> = Vec::new();
            let mut free = vec![1000; count];
            for (holder, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Lease(thousandths, workers) => {
                        let found = finds(&mut free, thousandths, workers);
                        let share = share(f64::from(thousandths) / 1000.0);
                        let fits = devices.fits(share, workers);
                        let leases = devices.lease(share, workers, holder as u64);
                        prop_assert_eq!(leases.is_some(), found);
                        prop_assert_eq!(fits == workers, found);
                        let leases = leases.unwrap_or_default();
                        leases.iter().for_each(|lease| check_lease(lease, &mut free));
                        out.extend(leases);
                    }
                    Step::Release(_) if out.is_empty() => {}
                    Step::Release(index) => {
                        let lease = out.swap_remove(index % out.len());
                        let each = lease.share().thousandths().min(1000);
                        lease.devices().for_each(|index| free[index] += each);
                        devices.release(lease);
                    }
                }
                prop_assert_eq!(devices.free(), free.clone());
                let taken: Vec<u32> = devices.in_use().iter().map(|used| used.taken).collect();
                prop_assert!(taken.iter().zip(&free).all(|(taken, free)| taken + free == 1000));
            }
            out.into_iter().for_each(|lease| devices.release(lease));
            prop_assert_eq!(devices.free(), vec![1000; count]);
        }
    }
}
