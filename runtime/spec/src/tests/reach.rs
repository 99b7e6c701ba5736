//! Calls to other deployments, requests to elsewhere, the cold start proxy.

use super::*;

#[test]
fn calls_are_to_all_to_some_or_to_nobody() {
    let allow = |settings: &str| parse(&with(settings), World::HttpService03).unwrap().calls.allow;
    let (light, heavy) = ("light".parse().unwrap(), "heavy".parse().unwrap());
    assert_eq!(allow(""), CallAllow::All);
    assert_eq!(allow(r#""calls": {}"#), CallAllow::All);
    assert_eq!(allow(r#""calls": {"allow": ["*"]}"#), CallAllow::All);
    let nobody = allow(r#""calls": {"allow": []}"#);
    assert_eq!(nobody, CallAllow::Only(Vec::new()));
    let some = allow(r#""calls": {"allow": ["light"]}"#);
    assert!(some.allows(&light) && !some.allows(&heavy));
    assert!(!nobody.allows(&light) && CallAllow::All.allows(&light));
    native::check(
        &with(r#""calls": {"allow": ["light", "heavy"]}"#),
        &["calls"],
        expect![[r#"
        {
          "calls": {
            "allow": [
              "light",
              "heavy"
            ]
          }
        }"#]],
    );
    native::check(
        &with(r#""calls": {"allow": []}"#),
        &["calls"],
        expect![[r#"
        {
          "calls": {
            "allow": []
          }
        }"#]],
    );
}

#[test]
fn calls_that_cannot_be_are_named() {
    check_errors(
        &[
            r#""calls": {"allow": "*"}"#,
            r#""calls": {"allow": ["light", "*"]}"#,
            r#""calls": {"allow": ["light", "light"]}"#,
            r#""calls": {"allow": ["Light"]}"#,
            r#""calls": {"deny": []}"#,
            r#""calls": ["light"]"#,
        ],
        expect![[r#"
            "calls": {"allow": "*"}
              spec.calls.allow: invalid type: string "*", expected a sequence
            "calls": {"allow": ["light", "*"]}
              spec.calls.allow: has other names beside `*`, which stands for all
            "calls": {"allow": ["light", "light"]}
              spec.calls.allow: names `light` twice
            "calls": {"allow": ["Light"]}
              spec.calls.allow: `Light` is not a deployment name: use 1 to 63 characters of a-z, 0-9 and `-`, with a letter or digit at both ends
            "calls": {"deny": []}
              spec.calls.deny: there is no such key, use one of `allow`
            "calls": ["light"]
              spec.calls: invalid type: sequence, expected an object
        "#]],
    );
    let many: Vec<String> = (0..1001).map(|n| format!(r#""n{n}""#)).collect();
    let error = parse(
        &with(&format!(r#""calls": {{"allow": [{}]}}"#, many.join(","))),
        World::HttpService03,
    );
    expect!["spec.calls.allow: has 1001 names, at most 1000 are allowed"]
        .assert_eq(&error.unwrap_err().to_string());
}

#[test]
fn outbound_requests_get_their_defaults() {
    assert_eq!(parse(&with(""), World::HttpService03).unwrap().outbound, None);
    native::check(
        &with(r#""outbound": {}"#),
        &["outbound"],
        expect![[r#"
        {
          "outbound": {
            "addresses": [],
            "allow": [],
            "between_bytes_timeout": "30s",
            "ca_files": [],
            "connect_timeout": "5s",
            "first_byte_timeout": "30s",
            "max_connections": 64,
            "request_body": "64MiB",
            "response_body": "64MiB"
          }
        }"#]],
    );
    native::check(
        &with(
            r#""outbound": {"allow": ["https://*.example.com", "*://localhost:*"],
               "addresses": ["loopback", "10.1.0.0/16"], "ca_files": ["/etc/ca.pem"],
               "connect_timeout": "1s", "first_byte_timeout": "2s", "between_bytes_timeout": "3s",
               "max_connections": 8, "request_body": "1MiB", "response_body": "2MiB"}"#,
        ),
        &["outbound"],
        expect![[r#"
            {
              "outbound": {
                "addresses": [
                  "loopback",
                  "10.1.0.0/16"
                ],
                "allow": [
                  "https://*.example.com",
                  "*://localhost:*"
                ],
                "between_bytes_timeout": "3s",
                "ca_files": [
                  "/etc/ca.pem"
                ],
                "connect_timeout": "1s",
                "first_byte_timeout": "2s",
                "max_connections": 8,
                "request_body": "1MiB",
                "response_body": "2MiB"
              }
            }"#]],
    );
}

#[test]
fn outbound_settings_that_cannot_be_are_named() {
    check_errors(
        &[
            r#""outbound": {"allow": "*"}"#,
            r#""outbound": {"allow": ["ftp://a"]}"#,
            r#""outbound": {"allow": ["https://a.example/path"]}"#,
            r#""outbound": {"allow": ["a.*.example"]}"#,
            r#""outbound": {"addresses": ["lan"]}"#,
            r#""outbound": {"addresses": ["10.1.0.1/16"]}"#,
            r#""outbound": {"ca_files": ["ca.pem"]}"#,
            r#""outbound": {"connect_timeout": "0s"}"#,
            r#""outbound": {"first_byte_timeout": "31d"}"#,
            r#""outbound": {"between_bytes_timeout": 5}"#,
            r#""outbound": {"max_connections": 0}"#,
            r#""outbound": {"max_connections": 10001}"#,
            r#""outbound": {"response_body": "2TiB"}"#,
            r#""outbound": {"proxy": "http://a"}"#,
        ],
        expect![[r#"
            "outbound": {"allow": "*"}
              spec.outbound.allow: invalid type: string "*", expected a sequence
            "outbound": {"allow": ["ftp://a"]}
              spec.outbound.allow: `ftp://a` is no rule for outbound requests: the scheme has to be `http`, `https` or `*`, it is `ftp`
            "outbound": {"allow": ["https://a.example/path"]}
              spec.outbound.allow: `https://a.example/path` is no rule for outbound requests: a rule ends with the host or the port; `/path` is too much
            "outbound": {"allow": ["a.*.example"]}
              spec.outbound.allow: `a.*.example` is no rule for outbound requests: `*` stands alone for all hosts, or as `*.` before a name; it cannot be `a.*.example`
            "outbound": {"addresses": ["lan"]}
              spec.outbound.addresses: `lan` is no kind of address; there are `loopback`, `private`, `link-local`, `metadata`, and networks such as `10.0.0.0/8`
            "outbound": {"addresses": ["10.1.0.1/16"]}
              spec.outbound.addresses: `10.1.0.1/16` is an address inside of a network: write `10.1.0.0/16` or `10.1.0.1`
            "outbound": {"ca_files": ["ca.pem"]}
              spec.outbound.ca_files: `ca.pem` is not an absolute path
              hint: only `samovar apply` and `samovar deploy` know where you are
            "outbound": {"connect_timeout": "0s"}
              spec.outbound.connect_timeout: `0s` is not allowed, use 1ms to 30d
            "outbound": {"first_byte_timeout": "31d"}
              spec.outbound.first_byte_timeout: `31d` is not allowed, use 1ms to 30d
            "outbound": {"between_bytes_timeout": 5}
              spec.outbound.between_bytes_timeout: invalid type: integer `5`, expected a duration such as "30s" or "5m"
            "outbound": {"max_connections": 0}
              spec.outbound.max_connections: `0` is not allowed, use 1 to 10000
            "outbound": {"max_connections": 10001}
              spec.outbound.max_connections: `10001` is not allowed, use 1 to 10000
            "outbound": {"response_body": "2TiB"}
              spec.outbound.response_body: `2TiB` is not allowed, use 0B to 1TiB
            "outbound": {"proxy": "http://a"}
              spec.outbound.proxy: there is no such key, use one of `allow`, `addresses`, `ca_files`, `connect_timeout`, `first_byte_timeout`, `between_bytes_timeout`, `max_connections`, `request_body`, `response_body`
        "#]],
    );
    let many = vec![r#""a.example""#; 1001].join(",");
    let settings = format!(r#""outbound": {{"allow": [{many}]}}"#);
    let error = parse(&with(&settings), World::HttpService03).unwrap_err();
    expect!["spec.outbound.allow: has 1001 entries, at most 1000 are allowed"]
        .assert_eq(&error.to_string());
}

#[test]
fn a_cold_start_proxy_is_a_deployment_a_url_or_an_answer() {
    native::check(
        &with(r#""cold_start_proxy": {"deployment": "light"}"#),
        &["cold_start_proxy"],
        expect![[r#"
            {
              "cold_start_proxy": {
                "deployment": "light",
                "timeout": "50s"
              }
            }"#]],
    );
    native::check(
        r#"{"worker": {}, "cold_start_proxy": {"url": "https://other.example/predict",
            "above": 8, "timeout": "5s"}}"#,
        &["cold_start_proxy"],
        expect![[r#"
            {
              "cold_start_proxy": {
                "above": 8.0,
                "timeout": "5s",
                "url": "https://other.example/predict"
              }
            }"#]],
    );
    native::check(
        &with(
            r#""cold_start_proxy": {"response": {"status": 200, "headers": {"Retry-After": "5"},
               "body": "warming up"}}"#,
        ),
        &["cold_start_proxy"],
        expect![[r#"
            {
              "cold_start_proxy": {
                "response": {
                  "body": "warming up",
                  "headers": {
                    "retry-after": "5"
                  },
                  "status": 200
                },
                "timeout": "50s"
              }
            }"#]],
    );
    let spec = parse(&with(r#""cold_start_proxy": {"response": {}}"#), World::HttpService03);
    let to = spec.unwrap().cold_start_proxy.unwrap().to;
    let ProxyTo::Response { status, headers, body } = to else { panic!("{to:?}") };
    assert_eq!((status.as_u16(), headers.len(), body.as_str()), (503, 0, ""));
}

/// Checks one error per line of `inputs`, which are what is in `cold_start_proxy`.
fn check_proxy_errors(inputs: &[&str], expected: Expect) {
    let wrap = |input: &&str| format!(r#""cold_start_proxy": {{{input}}}"#);
    let settings: Vec<String> = inputs.iter().map(wrap).collect();
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    check_errors(&settings, expected);
}

#[test]
fn cold_start_proxies_that_cannot_be_are_named() {
    let inputs = [
        "",
        r#""deployment": "light", "url": "http://a""#,
        r#""deployment": "thumbnail""#,
        r#""deployment": "Light""#,
        r#""url": "other.example""#,
        r#""url": "http://a/b?c=d""#,
        r#""url": "http://a/b#c""#,
        r#""url": "http://me:secret@a/b""#,
    ];
    check_proxy_errors(
        &inputs,
        expect![[r#"
        "cold_start_proxy": {}
          spec.cold_start_proxy: needs a `deployment`, a `url` or a `response`
        "cold_start_proxy": {"deployment": "light", "url": "http://a"}
          spec.cold_start_proxy: has more than one of `deployment`, `url` and `response`: use one
        "cold_start_proxy": {"deployment": "thumbnail"}
          spec.cold_start_proxy.deployment: `thumbnail` is this deployment itself, which cannot answer then
        "cold_start_proxy": {"deployment": "Light"}
          spec.cold_start_proxy.deployment: `Light` is not a deployment name: use 1 to 63 characters of a-z, 0-9 and `-`, with a letter or digit at both ends
        "cold_start_proxy": {"url": "other.example"}
          spec.cold_start_proxy.url: `other.example` is not an http or https URL
        "cold_start_proxy": {"url": "http://a/b?c=d"}
          spec.cold_start_proxy.url: has a query or fragment; the query of each request is sent instead
        "cold_start_proxy": {"url": "http://a/b#c"}
          spec.cold_start_proxy.url: has a query or fragment; the query of each request is sent instead
        "cold_start_proxy": {"url": "http://me:secret@a/b"}
          spec.cold_start_proxy.url: has an `@`: specs are shown, so a password must not be in them
    "#]],
    );
}

#[test]
fn fixed_answers_and_bounds_that_cannot_be_are_named() {
    let inputs = [
        r#""response": {"status": 199}"#,
        r#""response": {"status": 600}"#,
        r#""response": {"status": "ok"}"#,
        r#""response": {"headers": {"a b": "c"}}"#,
        r#""response": {"headers": {"a": "b\nc"}}"#,
        r#""response": {"headers": {"Content-Length": "5"}}"#,
        r#""response": {"headers": {"A": "1", "a": "2"}}"#,
        r#""response": {"headers": [1]}"#,
        r#""response": {"text": "x"}"#,
        r#""response": "warming up""#,
        r#""deployment": "light", "above": 0"#,
        r#""deployment": "light", "above": -1"#,
        r#""deployment": "light", "above": 1e7"#,
        r#""deployment": "light", "above": "many""#,
        r#""deployment": "light", "timeout": "0s""#,
        r#""to": "light""#,
    ];
    check_proxy_errors(
        &inputs,
        expect![[r#"
        "cold_start_proxy": {"response": {"status": 199}}
          spec.cold_start_proxy.response.status: `199` is not allowed, use 200 to 599
        "cold_start_proxy": {"response": {"status": 600}}
          spec.cold_start_proxy.response.status: `600` is not allowed, use 200 to 599
        "cold_start_proxy": {"response": {"status": "ok"}}
          spec.cold_start_proxy.response.status: invalid type: string "ok", expected a whole number of 0 or more
        "cold_start_proxy": {"response": {"headers": {"a b": "c"}}}
          spec.cold_start_proxy.response.headers: `a b` is not a header's name
        "cold_start_proxy": {"response": {"headers": {"a": "b\nc"}}}
          spec.cold_start_proxy.response.headers.a: is not a header's value: it has other characters than printable ASCII
        "cold_start_proxy": {"response": {"headers": {"Content-Length": "5"}}}
          spec.cold_start_proxy.response.headers.Content-Length: is written by the server itself
        "cold_start_proxy": {"response": {"headers": {"A": "1", "a": "2"}}}
          spec.cold_start_proxy.response.headers.a: is there twice, in other letters
        "cold_start_proxy": {"response": {"headers": [1]}}
          spec.cold_start_proxy.response.headers: invalid type: sequence, expected a map
        "cold_start_proxy": {"response": {"text": "x"}}
          spec.cold_start_proxy.response.text: there is no such key, use one of `status`, `headers`, `body`
        "cold_start_proxy": {"response": "warming up"}
          spec.cold_start_proxy.response: invalid type: string, expected an object
        "cold_start_proxy": {"deployment": "light", "above": 0}
          spec.cold_start_proxy.above: `0.0` is not allowed, use more than 0, up to 1000000
        "cold_start_proxy": {"deployment": "light", "above": -1}
          spec.cold_start_proxy.above: `-1.0` is not allowed, use more than 0, up to 1000000
        "cold_start_proxy": {"deployment": "light", "above": 1e7}
          spec.cold_start_proxy.above: `10000000.0` is not allowed, use more than 0, up to 1000000
        "cold_start_proxy": {"deployment": "light", "above": "many"}
          spec.cold_start_proxy.above: invalid type: string "many", expected f64
        "cold_start_proxy": {"deployment": "light", "timeout": "0s"}
          spec.cold_start_proxy.timeout: `0s` is not allowed, use 1ms to 30d
        "cold_start_proxy": {"to": "light"}
          spec.cold_start_proxy.to: there is no such key, use one of `deployment`, `url`, `response`, `above`, `timeout`
    "#]],
    );
}

#[test]
fn fixed_answers_that_are_too_large_are_refused() {
    let body = "x".repeat(64 * 1024 + 1);
    let settings = format!(r#""cold_start_proxy": {{"response": {{"body": "{body}"}}}}"#);
    let error = parse(&with(&settings), World::HttpService03).unwrap_err();
    expect!["spec.cold_start_proxy.response.body: is 65537 bytes, at most 65536 are allowed"]
        .assert_eq(&error.to_string());
    let settings =
        format!(r#""cold_start_proxy": {{"response": {{"headers": {{"a": "{body}"}}}}}}"#);
    let error = parse(&with(&settings), World::HttpService03).unwrap_err();
    expect![
        "spec.cold_start_proxy.response.headers: are 65538 bytes in all, at most 65536 are allowed"
    ]
    .assert_eq(&error.to_string());
}

#[test]
fn numbers_that_json_cannot_write_are_refused_too() {
    let name = "x".parse().unwrap();
    for above in ["nan", "inf"] {
        let text = format!(
            "component = \"{DIGEST}\"\ncold_start_proxy = {{deployment = \"a\", above = {above}}}"
        );
        let raw: RawSpec = read_toml(&text, "spec").unwrap();
        let error = raw.validate(&name, World::HttpService03).unwrap_err().to_string();
        assert!(error.starts_with("spec.cold_start_proxy.above: `"), "{error}");
    }
}
