use std::fs;
use std::net::TcpListener;

use super::*;
use crate::keystone::fake::FakeKeystone;
use crate::keystone::fake::Reply;
use crate::keystone::fake::Seen;

const SOON: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    total: Duration::from_millis(300),
};
const LATE: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    total: Duration::from_mins(1),
};

fn keystone(fake: &FakeKeystone, timeouts: Timeouts) -> Keystone {
    install_crypto_provider();
    Keystone::new(&fake.auth(), &Session::default(), timeouts).unwrap()
}

fn answer(status: u16, headers: &[(&'static str, &str)], body: &[u8]) -> Reply {
    let headers = headers
        .iter()
        .map(|&(name, value)| (name, value.to_owned()))
        .collect();
    Reply::Answer {
        status,
        headers,
        body: body.to_vec(),
    }
}

#[tokio::test]
async fn a_token_lives_as_long_as_keystone_says_on_no_calendar() {
    let fake = FakeKeystone::new(|_| Reply::issued("gAAA", 90));
    let token = keystone(&fake, LATE).issue().await.unwrap();
    assert_eq!(token.header, "gAAA");
    assert_eq!(token.lifetime, Duration::from_mins(90));
    assert!(!format!("{token:?}").contains("gAAA"));
    let [request] = &fake.seen()[..] else {
        panic!("one request")
    };
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("POST", "/v3/auth/tokens")
    );
}

#[tokio::test]
async fn every_failure_has_its_kind_and_none_repeats_what_was_said() {
    let cases: [(Reply, &str); 12] = [
        (
            Reply::status(401),
            "Keystone refuses our credential with status 401",
        ),
        (
            Reply::status(403),
            "Keystone refuses our credential with status 403",
        ),
        (
            Reply::status(400),
            "Keystone refuses our credential with status 400",
        ),
        (
            Reply::status(404),
            "Keystone refuses our credential with status 404",
        ),
        (Reply::status(429), "Keystone answers with status 429"),
        (Reply::status(500), "Keystone answers with status 500"),
        (
            answer(302, &[("Location", "http://127.0.0.1:1/")], b""),
            "Keystone answers with status 302",
        ),
        (answer(201, &[], b"{}"), "Keystone's answer holds no token"),
        (
            answer(201, &[("X-Subject-Token", "t")], b"secret-in-a-body"),
            "Keystone's answer holds no token",
        ),
        (
            answer(200, &[], &vec![b' '; MAX_ANSWER + 1]),
            "Keystone's answer is too large",
        ),
        (Reply::Cut, "Keystone cannot be reached"),
        (Reply::Silence, "Keystone cannot be reached"),
    ];
    for (reply, expected) in cases {
        let timeouts = if matches!(reply, Reply::Silence) {
            SOON
        } else {
            LATE
        };
        let shown = format!("{reply:?}").chars().take(80).collect::<String>();
        let fake = FakeKeystone::new(move |_| reply.clone());
        let error = keystone(&fake, timeouts).issue().await.unwrap_err();
        assert_eq!(error.to_string(), expected, "{shown}");
        let told = format!("{error:?} {}", error.chain());
        assert!(!told.contains("secret"), "{told}");
        assert_eq!(fake.seen().len(), 1);
    }
}

#[tokio::test]
async fn nobody_there_is_said_so() {
    install_crypto_provider();
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut auth = FakeKeystone::new(|_| Reply::Silence).auth();
    auth.auth_url = format!("http://{free}/v3/");
    let error = Keystone::new(&auth, &Session::default(), LATE)
        .unwrap()
        .issue()
        .await
        .unwrap_err();
    assert!(error.chain().contains("no connection"), "{}", error.chain());
}

#[tokio::test]
async fn a_validation_shows_both_tokens_and_asks_for_no_catalog() {
    let reply = |seen: &Seen| match seen.header("x-subject-token") {
        "good" => Reply::described("ann", &["reader"], "2099-01-01T00:00:00.000000Z"),
        "unknown" => Reply::status(404),
        "ours-is-bad" => Reply::status(401),
        "we-may-not" => Reply::status(403),
        _ => Reply::status(502),
    };
    let fake = FakeKeystone::new(reply);
    let keystone = keystone(&fake, LATE);
    let ours = HeaderValue::from_static("ours");
    let ask = async |subject: &'static str, expired| {
        keystone
            .validate(
                keystone.base(),
                &ours,
                &HeaderValue::from_static(subject),
                expired,
            )
            .await
    };
    let ann = ask("good", Expired::Refuse).await.unwrap();
    assert_eq!(
        (ann.user_id.as_str(), ann.system, &ann.roles[..]),
        ("ann", true, &["reader".to_owned()][..])
    );
    assert!(ask("good", Expired::Allow).await.is_ok());
    assert!(matches!(
        ask("unknown", Expired::Refuse).await,
        Err(ValidateError::Invalid)
    ));
    assert!(matches!(
        ask("ours-is-bad", Expired::Refuse).await,
        Err(ValidateError::Unauthorized)
    ));
    for (subject, status) in [("we-may-not", 403), ("broken", 502)] {
        let error = ask(subject, Expired::Refuse).await.unwrap_err();
        assert!(error.to_string().contains(&status.to_string()), "{error}");
    }
    let seen = fake.seen();
    assert_eq!(seen[0].target, "/v3/auth/tokens?nocatalog");
    assert_eq!(seen[1].target, "/v3/auth/tokens?nocatalog&allow_expired=1");
    assert_eq!(seen[0].header("x-auth-token"), "ours");
    assert_eq!(seen[0].header("openstack-identity-access-rules"), "");
}

#[test]
fn unusable_files_are_named() {
    install_crypto_provider();
    let auth = FakeKeystone::new(|_| Reply::Silence).auth();
    let directory = tempfile::TempDir::new().unwrap();
    let (missing, garbage) = (
        directory.path().join("missing.pem"),
        directory.path().join("garbage.pem"),
    );
    fs::write(&garbage, "secret-garbage").unwrap();
    for (session, expected) in [
        (
            Session {
                cafile: Some(missing.clone()),
                ..Session::default()
            },
            "cannot be read",
        ),
        (
            Session {
                cafile: Some(garbage.clone()),
                ..Session::default()
            },
            "holds no certificate",
        ),
        (
            Session {
                certfile: Some(missing),
                ..Session::default()
            },
            "cannot be read",
        ),
        (
            Session {
                certfile: Some(garbage),
                ..Session::default()
            },
            "holds no certificate",
        ),
    ] {
        let text = Keystone::new(&auth, &session, LATE)
            .unwrap_err()
            .to_string();
        assert!(
            text.contains(expected) && text.contains(".pem") && !text.contains("secret"),
            "{text}"
        );
    }
}
