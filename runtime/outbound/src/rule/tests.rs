use super::*;
use http::Uri;
use proptest::prelude::*;

fn allows(rule: &str, url: &str) -> bool {
    let url: Uri = url.parse().unwrap();
    AllowList::parse([rule]).unwrap().allows_target(&Target::of(&url).unwrap())
}

/// Which of the URLs the rule allows.
#[track_caller]
fn check(rule: &str, allowed: &[&str], refused: &[&str]) {
    for url in allowed {
        assert!(allows(rule, url), "{rule} refuses {url}");
    }
    for url in refused {
        assert!(!allows(rule, url), "{rule} allows {url}");
    }
}

#[test]
fn a_name_alone_allows_both_schemes_on_their_ports() {
    let allowed = ["http://example.com", "https://example.com", "https://EXAMPLE.com.:443/a"];
    let refused = [
        "http://example.com:443",
        "https://example.com:80",
        "http://example.com:8080",
        "http://a.example.com",
        "http://example.com.evil.example",
        "http://com",
    ];
    for rule in ["example.com", "*://example.com", "Example.Com."] {
        check(rule, &allowed, &refused);
    }
}

#[test]
fn schemes_and_ports_are_compared() {
    check("https://example.com", &["https://example.com"], &["http://example.com"]);
    check(
        "https://example.com:8443",
        &["https://example.com:8443"],
        &["https://example.com", "http://example.com:8443"],
    );
    check("HTTP://example.com", &["http://example.com"], &["https://example.com"]);
    check(
        "example.com:80",
        &["http://example.com", "https://example.com:80"],
        &["https://example.com"],
    );
    check(
        "*://localhost:*",
        &["http://localhost", "https://localhost:1", "http://localhost:65535"],
        &["http://localhost.example", "http://127.0.0.1"],
    );
}

#[test]
fn a_wildcard_is_for_the_names_below() {
    check(
        "https://*.example.com",
        &["https://a.example.com", "https://a.b.example.com", "https://A.EXAMPLE.COM."],
        &[
            "https://example.com",
            "http://a.example.com",
            "https://a.example.com:8443",
            "https://aexample.com",
            "https://a.example.com.evil.example",
        ],
    );
    check(
        "*.m\u{fc}nchen.example",
        &["http://a.xn--mnchen-3ya.example"],
        &["http://xn--mnchen-3ya.example"],
    );
}

#[test]
fn a_star_is_for_all_hosts() {
    let urls = ["http://example.com", "https://10.0.0.5", "http://[::1]"];
    check("*", &urls, &["http://example.com:8080"]);
    check("*://*:*", &urls, &[]);
    check("https://*", &["https://a.example"], &["http://a.example"]);
}

#[test]
fn addresses_are_compared_as_addresses() {
    let refused = ["http://10.0.0.5", "http://10.0.0.50:8080", "http://[::ffff:10.0.0.5]:8080"];
    check("http://10.0.0.5:8080", &["http://10.0.0.5:8080"], &refused);
    check("http://[::1]", &["http://[0:0:0::1]"], &["http://[::2]", "http://[::1]:81"]);
}

#[test]
fn an_empty_list_allows_nothing() {
    let list = AllowList::default();
    assert!(!list.allows(Scheme::Http, &Host::parse("example.com").unwrap(), 80));
    assert!(list.rules().is_empty());
}

#[test]
fn one_of_the_rules_is_enough() {
    let list = AllowList::parse(["http://a.example", "https://b.example"]).unwrap();
    let allows = |url: &str| list.allows_target(&Target::of(&url.parse().unwrap()).unwrap());
    assert!(allows("http://a.example") && allows("https://b.example"));
    assert!(!allows("https://a.example") && !allows("http://b.example"));
}

#[test]
fn what_is_no_rule_is_said_clearly() {
    for (rule, fault) in [
        ("", "it has no host"),
        ("https://", "it has no host"),
        (":80", "it has no host"),
        ("ftp://a", "the scheme has to be `http`, `https` or `*`, it is `ftp`"),
        ("https*://a", "the scheme has to be `http`, `https` or `*`, it is `https*`"),
        ("https://a/", "a rule ends with the host or the port; `/` is too much"),
        ("a.example/b?c", "a rule ends with the host or the port; `/b?c` is too much"),
        ("https://a\\b", "a rule ends with the host or the port; `\\b` is too much"),
        ("https://a@b", "a rule has no user name; remove what is before `@`"),
        ("a:0", "the port has to be a number from 1 to 65535, or `*`; it is `0`"),
        ("a:", "the port has to be a number from 1 to 65535, or `*`; it is ``"),
        ("a:80-90", "the port has to be a number from 1 to 65535, or `*`; it is `80-90`"),
        (
            "a.*.example",
            "`*` stands alone for all hosts, or as `*.` before a name; it cannot be `a.*.example`",
        ),
        ("*a", "`*` stands alone for all hosts, or as `*.` before a name; it cannot be `*a`"),
        (
            "*.10.0.0.5",
            "`*` stands alone for all hosts, or as `*.` before a name; it cannot be `*.10.0.0.5`",
        ),
        ("*.", "it has no host"),
        (" a", "` a` is neither a name nor an IP address"),
        ("0x7f.1", "`0x7f.1` is another way to write the address 127.0.0.1: write it so"),
        ("::1", "the port has to be a number from 1 to 65535, or `*`; it is `:1`"),
        ("[::1", "the port has to be a number from 1 to 65535, or `*`; it is `:1`"),
        ("10.0.0.0/8", "a rule ends with the host or the port; `/8` is too much"),
    ] {
        let error = AllowList::parse(["fine.example", rule]).expect_err(rule);
        let said = format!("`{rule}` is no rule for outbound requests: {fault}");
        assert_eq!(error.to_string(), said);
    }
}

/// What a rule means, in few words, for names without any special form.
fn model(rule: (Option<&str>, &str, Option<u16>), target: (&str, &str, u16)) -> bool {
    let ((scheme, pattern, port), (wanted, host, wanted_port)) = (rule, target);
    let usual = if wanted == "http" { 80 } else { 443 };
    let matches = match pattern.strip_prefix("*.") {
        Some(parent) => host.len() > parent.len() && host.ends_with(&format!(".{parent}")),
        None => host == pattern,
    };
    scheme.is_none_or(|scheme| scheme == wanted) && matches && port.unwrap_or(usual) == wanted_port
}

proptest! {
    #[test]
    fn rules_mean_what_the_model_says(
        scheme in prop::option::of(prop::sample::select(vec!["http", "https"])),
        wildcard: bool,
        parent in "[ab](\\.[ab]){0,2}",
        port in prop::option::of(prop::sample::select(vec![80u16, 443, 8080])),
        wanted in prop::sample::select(vec!["http", "https"]),
        host in "[ab](\\.[ab]){0,3}",
        wanted_port in prop::sample::select(vec![80u16, 443, 8080]),
    ) {
        let pattern = if wildcard { format!("*.{parent}") } else { parent };
        let mut rule = scheme.map_or(String::new(), |scheme| format!("{scheme}://")) + &pattern;
        rule += &port.map_or(String::new(), |port| format!(":{port}"));
        let expected = model((scheme, &pattern, port), (wanted, &host, wanted_port));
        prop_assert_eq!(allows(&rule, &format!("{wanted}://{host}:{wanted_port}")), expected);
        prop_assert_eq!(rule.parse::<Rule>().unwrap().to_string(), rule);
    }

    #[test]
    fn any_text_is_a_rule_or_an_error(text in "\\PC{0,30}") {
        match text.parse::<Rule>() {
            Ok(rule) => prop_assert_eq!(rule.to_string(), text),
            Err(error) => prop_assert_eq!(error.rule, text),
        }
    }
}
