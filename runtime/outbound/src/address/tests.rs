use super::*;
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

const NAMED: [Kind; 4] = [Kind::Loopback, Kind::Private, Kind::LinkLocal, Kind::Metadata];

fn policy(allowed: &[&str]) -> AddressPolicy {
    AddressPolicy::parse(allowed).unwrap()
}

fn allows(allowed: &[&str], address: &str) -> bool {
    policy(allowed).check(address.parse().unwrap()).is_ok()
}

#[test]
fn addresses_are_told_apart() {
    for (word, addresses) in [
        ("public", "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255"),
        ("public", "128.0.0.0 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0"),
        (
            "public",
            "192.0.3.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255",
        ),
        ("public", "2606:4700::1111 2000:: 2001:200:: 2001:4860:4860::8888 2a00:: 3ffe::1"),
        ("loopback", "127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1"),
        (
            "private",
            "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255",
        ),
        ("private", "fc00:: fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff fd00::1"),
        ("link-local", "169.254.0.0 169.254.169.253 169.254.255.255 fe80::1 febf::1"),
        ("metadata", "169.254.169.254 169.254.170.2 169.254.170.23 169.254.0.23 169.254.42.42"),
        ("metadata", "100.100.100.200 192.0.0.192 168.63.129.16 fd00:ec2::254 fd00:ec2::23"),
        ("metadata", "fd20:ce::254 fd00:42::42 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe"),
        ("metadata", "2002:a9fe:a9fe::1 ::169.254.169.254 ::ffff:0:169.254.169.254"),
        ("unspecified", "0.0.0.0 0.1.2.3 :: ::ffff:0.0.0.0"),
        ("broadcast", "255.255.255.255"),
        ("multicast", "224.0.0.1 239.255.255.255 ff02::1"),
        ("shared", "100.64.0.0 100.127.255.255"),
        ("documentation", "192.0.2.1 198.51.100.1 203.0.113.1 2001:db8::1 3fff:fff::1"),
        ("benchmarking", "198.18.0.0 198.19.255.255 2001:2::1"),
        ("reserved", "192.0.0.1 192.88.99.1 240.0.0.0 255.255.255.254 2001::1 100::1 fec0::1"),
        ("reserved", "64:ff9b:1::1 5f00::1 4000::1 ::1:0:0:0 2001:1ff::1"),
    ] {
        for address in addresses.split(' ') {
            assert_eq!(Kind::of(address.parse().unwrap()).as_str(), word, "{address}");
        }
    }
}

#[test]
fn without_settings_only_public_addresses_are_allowed() {
    assert!(allows(&[], "1.1.1.1") && allows(&[], "2606:4700::1111"));
    for address in ["127.0.0.1", "10.0.0.1", "169.254.1.1", "169.254.169.254", "224.0.0.1", "::"] {
        assert!(!allows(&[], address), "{address}");
    }
}

#[test]
fn a_kind_allows_itself_only() {
    for (word, address) in [
        ("loopback", "127.0.0.1"),
        ("private", "10.0.0.1"),
        ("link-local", "169.254.1.1"),
        ("metadata", "169.254.169.254"),
    ] {
        for other in NAMED {
            assert_eq!(allows(&[other.as_str()], address), other.as_str() == word, "{address}");
        }
    }
    assert!(!allows(&["private"], "fd00:ec2::254"));
    assert!(!allows(&["link-local"], "::ffff:169.254.169.254"));
}

#[test]
fn networks_allow_any_kind_but_metadata() {
    assert!(allows(&["100.64.0.0/10"], "100.64.0.1"));
    assert!(!allows(&["100.64.0.0/10"], "100.100.100.200"));
    assert!(allows(&["10.0.0.0/8"], "10.1.2.3") && !allows(&["10.0.0.0/8"], "192.168.0.1"));
    assert!(allows(&["10.0.0.5"], "10.0.0.5") && !allows(&["10.0.0.5"], "10.0.0.6"));
    assert!(allows(&["224.0.0.0/4"], "224.0.0.1") && allows(&["ff00::/8"], "ff02::1"));
    assert!(allows(&["0.0.0.0/0"], "127.0.0.1") && !allows(&["0.0.0.0/0"], "::1"));
    for network in ["169.254.0.0/16", "0.0.0.0/0", "169.254.169.254/31"] {
        assert!(!allows(&[network], "169.254.169.254"), "{network}");
    }
    assert!(!allows(&["fd00::/8"], "fd00:ec2::254"));
    assert!(allows(&["169.254.169.254/32"], "169.254.169.254"));
    assert!(allows(&["fd00:ec2::254"], "fd00:ec2::254"));
}

#[test]
fn networks_name_either_of_two_addresses_that_mean_the_same() {
    assert!(allows(&["10.0.0.0/8"], "::ffff:10.0.0.1"));
    assert!(allows(&["64:ff9b::/96"], "64:ff9b::a00:1"));
    assert!(!allows(&["64:ff9b::/96"], "64:ff9b::a9fe:a9fe"));
    assert!(!allows(&["::ffff:10.0.0.0/104"], "10.0.0.1"));
}

#[test]
fn what_is_denied_is_named() {
    let denied = policy(&[]).check("::ffff:10.0.0.1".parse().unwrap()).unwrap_err();
    assert_eq!(denied.kind, Kind::Private);
    assert_eq!(denied.to_string(), "::ffff:10.0.0.1 (private)");
}

#[test]
fn what_is_no_policy_is_said_clearly() {
    for text in ["", "public", "Loopback", "multicast", "10.0.0.0/33", "10.0.0/8", "example.com"] {
        let error = AddressPolicy::parse(["loopback", text]).unwrap_err();
        let start = format!("`{text}` is no kind of address; there are `loopback`, ");
        assert!(error.to_string().starts_with(&start), "{error}");
    }
    let error = AddressPolicy::parse(["10.0.0.5/8"]).unwrap_err();
    let said = "`10.0.0.5/8` is an address inside of a network: write `10.0.0.0/8` or `10.0.0.5`";
    assert_eq!(error.to_string(), said);
}

/// All the ways in which an IPv6 address stands for an IPv4 address.
fn forms(v4: Ipv4Addr) -> Vec<Ipv6Addr> {
    let [a, b, c, d] = v4.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let mut forms = vec![
        v4.to_ipv6_mapped(),
        Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
        Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
        Ipv6Addr::new(0x2002, high, low, 7, 0, 0, 0, 1),
    ];
    if u32::from(v4) > 1 {
        forms.push(v4.to_ipv6_compatible());
    }
    forms
}

/// Addresses of all kinds, each often enough.
fn some_v4() -> impl Strategy<Value = Ipv4Addr> {
    let notable = vec![0u8, 1, 10, 100, 127, 168, 169, 172, 192, 198, 203, 224, 240, 254, 255];
    let octet = || prop_oneof![any::<u8>(), prop::sample::select(notable.clone())];
    let chosen = [octet(), octet(), octet(), octet()].prop_map(Ipv4Addr::from);
    let metadata = prop::sample::select(vec![0xa9fe_a9feu32, 0x6464_64c8, 0xc000_00c0]);
    prop_oneof![4 => chosen, 1 => metadata.prop_map(Ipv4Addr::from)]
}

fn some_policy() -> impl Strategy<Value = AddressPolicy> {
    let words =
        vec!["loopback", "private", "link-local", "metadata", "100.64.0.0/10", "169.254.0.0/16"];
    prop::sample::subsequence(words, 0..=6).prop_map(|allowed| policy(&allowed))
}

proptest! {
    #[test]
    fn what_stands_for_an_address_is_judged_as_that(v4 in some_v4(), policy in some_policy()) {
        let judged = policy.check(v4.into()).map_err(|denied| denied.kind);
        for v6 in forms(v4) {
            let of_form = policy.check(v6.into()).map_err(|denied| denied.kind);
            prop_assert_eq!(of_form, judged, "{}", v6);
        }
    }

    #[test]
    fn std_agrees_on_what_it_knows(v4 in some_v4()) {
        let kind = Kind::of(v4.into());
        if kind == Kind::Public {
            let is_special = v4.is_loopback() || v4.is_private() || v4.is_link_local()
                || v4.is_multicast() || v4.is_broadcast() || v4.is_documentation()
                || v4.is_unspecified();
            prop_assert!(!is_special);
        }
        prop_assert_eq!(kind == Kind::Loopback, v4.is_loopback());
        prop_assert_eq!(kind == Kind::Private, v4.is_private());
        prop_assert_eq!(kind == Kind::Multicast, v4.is_multicast());
    }

    #[test]
    fn allowing_more_denies_nothing(v4 in some_v4(), policy in some_policy()) {
        if AddressPolicy::default().check(v4.into()).is_ok() {
            prop_assert!(policy.check(v4.into()).is_ok());
        }
    }

    #[test]
    fn only_their_names_open_metadata_addresses(bits: [u8; 16]) {
        let all = policy(&["loopback", "private", "link-local", "0.0.0.0/0", "::/0"]);
        let address = IpAddr::from(bits);
        prop_assert_eq!(all.check(address).is_ok(), Kind::of(address) != Kind::Metadata);
    }
}
