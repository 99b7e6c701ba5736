//! The page in a real browser: it shows a hostile document as text, sends, and shows faults.
//!
//! It needs Chromium: the one in `SAMOVAR_CHROMIUM`, or one of the usual names in `PATH`. Without
//! it the tests say so and pass.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "browser/chromium.rs"]
mod chromium;
#[path = "browser/site.rs"]
mod site;

use chromium::Chromium;
use samovar_schema::Schema;
use serde_json::{Value, json};
use site::Site;

const HOSTILE: &str =
    "</script><img src=x onerror=\"window.broken=1\"><script>window.broken=1</script>";

fn input() -> Schema {
    let schema = json!({
        "type": "object",
        "description": HOSTILE,
        "required": ["width", HOSTILE],
        "properties": {
            "width": {"type": "integer", "minimum": 1, "maximum": 4096, "description": HOSTILE},
            HOSTILE: {"type": "string", "default": HOSTILE},
            "mode": {"enum": ["fit", HOSTILE]},
            "children": {"type": "array", "items": {"$ref": "#"}, "default": []},
            "__proto__": {"type": "object", "default": {}},
        },
    });
    Schema::compile(&schema).unwrap()
}

/// A page that is loaded, and what it is loaded from.
fn open(route: &'static str, endpoint: Option<&'static str>) -> Option<(Chromium, Site)> {
    let mut chromium = Chromium::start()?;
    let site = Site::start(route, endpoint, HOSTILE, endpoint.map(|_| input()));
    chromium.open(&site.page_url());
    chromium.wait("!document.getElementById('main').hidden");
    Some((chromium, site))
}

fn text(chromium: &mut Chromium, id: &str) -> String {
    let value = chromium.evaluate(&format!("document.getElementById('{id}').textContent"));
    value.as_str().unwrap().to_owned()
}

#[test]
fn a_hostile_document_is_shown_as_text_and_runs_nothing() {
    let Some((mut chromium, site)) = open("/a/b", Some("/predict")) else { return };
    // Everything that opens is opened, so that all of the document is on the page.
    let open_all = "for (let turn = 0; turn < 4; turn++) \
                    for (const entry of document.querySelectorAll('details')) \
                    { entry.open = true; entry.dispatchEvent(new Event('toggle')) }";
    chromium.evaluate(open_all);
    assert_eq!(text(&mut chromium, "title"), HOSTILE);
    assert!(text(&mut chromium, "input").contains(HOSTILE));
    assert_eq!(chromium.evaluate("document.images.length + document.scripts.length"), json!(1));
    assert_eq!(chromium.evaluate("window.broken === undefined"), json!(true));
    assert_eq!(chromium.evaluate("document.title"), json!(HOSTILE));
    assert_eq!(chromium.errors(), Vec::<String>::new());
    // Even markup that got into the page somehow would run nothing: the policy knows one script.
    let attack = "const s = document.createElement('script'); s.textContent = 'window.broken=1'; \
                  document.body.append(s); window.broken === undefined";
    assert_eq!(chromium.evaluate(attack), json!(true));
    assert_eq!(chromium.errors().len(), 1);
    drop(site);
}

#[test]
fn the_example_is_sent_by_keyboard_and_its_answer_shown() {
    let Some((mut chromium, _site)) = open("/a/b", Some("/predict")) else { return };
    let example: Value = serde_json::from_str(
        chromium.evaluate("document.getElementById('body').value").as_str().unwrap(),
    )
    .unwrap();
    assert_eq!(input().check_value(&example, 0), Ok(()));
    assert_eq!(text(&mut chromium, "syntax"), "");
    chromium.evaluate("document.getElementById('body').focus()");
    chromium.press_control_enter();
    chromium.wait("!document.getElementById('response').hidden");
    assert!(
        text(&mut chromium, "outcome").starts_with("200 OK"),
        "{}",
        text(&mut chromium, "outcome")
    );
    let shown: Value = serde_json::from_str(&text(&mut chromium, "shown")).unwrap();
    assert_eq!(shown["method"], "POST");
    assert_eq!(shown["path"], "/a/b/predict");
    assert_eq!(shown["content-type"], "application/json");
    assert_eq!(shown["body"], example);
    assert!(text(&mut chromium, "received").contains("samovar-test"));
    let curl = text(&mut chromium, "curl");
    assert!(curl.starts_with("curl -i -X POST http://127.0.0.1:"), "{curl}");
    assert_eq!(chromium.evaluate("document.getElementById('faults').hidden"), json!(true));
}

#[test]
fn faults_are_shown_beside_the_editor_and_lead_to_their_place() {
    let Some((mut chromium, _site)) = open("/", Some("/predict")) else { return };
    let body = "{\\n  \"width\": 1,\\n  \"children\": [{\"width\": \"<b>\"}]\\n}";
    let set = format!(
        "const e = document.getElementById('body'); e.value = '{body}'; \
         e.dispatchEvent(new Event('input')); document.getElementById('send').click()"
    );
    chromium.evaluate(&set);
    chromium.wait("!document.getElementById('faults').hidden");
    let faults = text(&mut chromium, "faults");
    assert!(faults.contains("/children/0/width is a string, must be an integer"), "{faults}");
    assert!(
        text(&mut chromium, "outcome").starts_with("422"),
        "{}",
        text(&mut chromium, "outcome")
    );
    let jump = "[...document.querySelectorAll('#faults button')].find(b => \
                b.textContent.startsWith('/children/0/width')).click(); \
                const e = document.getElementById('body'); document.activeElement === e && \
                e.value.slice(e.selectionStart, e.selectionEnd)";
    assert_eq!(chromium.evaluate(jump), json!("\"<b>\""));
    assert_eq!(
        chromium.evaluate("document.getElementById('body').getAttribute('aria-invalid')"),
        json!("true")
    );
    let broken = "{ const e = document.getElementById('body'); e.value = '{'; \
                  e.dispatchEvent(new Event('input')) }";
    chromium.evaluate(broken);
    assert!(text(&mut chromium, "syntax").contains("JSON"), "{}", text(&mut chromium, "syntax"));
}

#[test]
fn without_a_schema_any_path_and_method_is_sent_and_pictures_are_shown() {
    let Some((mut chromium, _site)) = open("/p", None) else { return };
    let send = "document.getElementById('path').value = 'picture/of?x=1'; \
                document.getElementById('method').value = 'GET'; \
                document.getElementById('send').click()";
    chromium.evaluate(send);
    chromium.wait("document.querySelector('#shown img')?.naturalWidth === 1");
    let put = "document.getElementById('path').value = 'a/b'; \
               document.getElementById('method').value = 'PUT'; \
               document.getElementById('kind').value = 'text/plain'; \
               document.getElementById('body').value = 'hello'; \
               document.getElementById('send').click()";
    chromium.evaluate(put);
    chromium.wait("document.querySelector('#shown pre')?.textContent.includes('PUT')");
    let shown: Value = serde_json::from_str(&text(&mut chromium, "shown")).unwrap();
    assert_eq!((&shown["path"], &shown["body"]), (&json!("/p/a/b"), &json!("hello")));
    assert_eq!(chromium.errors(), Vec::<String>::new());
}

#[test]
fn the_page_is_usable_by_keyboard_and_in_both_color_schemes() {
    let Some((mut chromium, _site)) = open("/", Some("/predict")) else { return };
    // What can be used has a name for who cannot see it, and can be reached.
    let nameless = "[...document.querySelectorAll('button, input, textarea, select, [tabindex]')] \
                    .filter(e => !e.labels?.length && !e.textContent.trim() && !e.ariaLabel) \
                    .map(e => e.id)";
    assert_eq!(chromium.evaluate(nameless), json!([]));
    assert_eq!(
        chromium.evaluate("document.querySelectorAll('[tabindex=\"-1\"]').length"),
        json!(0)
    );
    let ground = "getComputedStyle(document.body).backgroundColor";
    chromium.prefer_colors("light");
    let light = chromium.evaluate(ground);
    chromium.prefer_colors("dark");
    assert_ne!(light, chromium.evaluate(ground));
    let narrow = "document.documentElement.scrollWidth <= document.documentElement.clientWidth";
    chromium.set_width(360);
    assert_eq!(chromium.evaluate(narrow), json!(true), "nothing is wider than a telephone");
}
