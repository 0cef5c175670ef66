use super::*;

fn info(status: &Status) -> tonic_types::ErrorInfo {
    status.get_details_error_info().expect("has an ErrorInfo")
}

/// What the status takes in a client's metadata, counted as HTTP/2 does: 32 bytes on top of each name and value.
fn header_list_size(status: &Status) -> usize {
    let mut headers = HeaderMap::new();
    status.add_header(&mut headers).expect("fits into headers");
    let each = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        name.as_str().len() + value.len() + 32
    };
    headers.iter().map(each).sum()
}

#[test]
fn a_status_carries_reason_domain_and_metadata() {
    let status: Status = ApiError::new(Reason::WrongState, "the launch is FINISHED")
        .launch("a")
        .meta("launch_state", "FINISHED")
        .meta("installed_pages", 7)
        .into();
    assert_eq!(status.code(), tonic::Code::FailedPrecondition);
    assert_eq!(status.message(), "WRONG_STATE: the launch is FINISHED");
    let info = info(&status);
    assert_eq!(
        (info.reason.as_str(), info.domain.as_str()),
        ("WRONG_STATE", "stagepages")
    );
    assert_eq!(info.metadata["launch"], "launches/a");
    assert_eq!(info.metadata["installed_pages"], "7");
}

#[test]
fn the_message_alone_names_the_fields() {
    let error = ApiError::new(
        Reason::InvalidLaunch,
        "the spec cannot be used: it has no region",
    )
    .field("spec.regions", "it has no region")
    .field("launch_id", "\"a b\" has a space");
    assert_eq!(
        error.to_string(),
        "INVALID_LAUNCH: the spec cannot be used: it has no region; launch_id: \"a b\" has a space"
    );
}

#[test]
fn other_details_are_there_when_set() {
    let status: Status = ApiError::new(Reason::QueueFull, "32 calls wait")
        .retry_after(Duration::from_millis(20))
        .quota("launches/a", "at most 32")
        .precondition("STATE", "launches/a", "busy")
        .into();
    let details = status.get_error_details();
    let retry = details.retry_info().expect("has RetryInfo");
    assert_eq!(retry.retry_delay, Some(Duration::from_millis(20)));
    assert_eq!(
        details.quota_failure().expect("has it").violations[0].subject,
        "launches/a"
    );
    assert_eq!(
        details.precondition_failure().expect("has it").violations[0].r#type,
        "STATE"
    );
}

#[test]
fn the_first_value_of_a_key_stays() {
    let status: Status = ApiError::new(Reason::HostDied, "x")
        .meta("launch", "a")
        .meta("launch", "b")
        .into();
    assert_eq!(info(&status).metadata["launch"], "a");
}

#[test]
fn hostile_input_stays_within_the_bounds() {
    const KEYS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for hostile in [
        "\0".repeat(9000),
        "é".repeat(9000),
        "%".repeat(9000),
        "\u{10ffff}".repeat(9000),
    ] {
        let mut error = ApiError::new(Reason::InvalidLaunch, hostile.clone()).launch(&hostile);
        for key in KEYS {
            error = error.meta(key, &hostile);
        }
        for _ in 0..1000 {
            error = error
                .field(&hostile, &hostile)
                .quota(&hostile, &hostile)
                .precondition("X", &hostile, &hostile);
        }
        let status = Status::from(error);
        assert!(status.details().len() <= MAX_DETAILS_BYTES);
        assert!(status.message().len() <= MAX_MESSAGE_BYTES);
        assert!(header_list_size(&status) <= 8000);
        let details = status.check_error_details().expect("details decode");
        assert_eq!(info(&status).reason, "INVALID_LAUNCH");
        let fields = &details.bad_request().expect("has it").field_violations;
        assert!(
            fields
                .last()
                .expect("has one")
                .description
                .ends_with("more")
        );
        assert!(!status.message().chars().any(char::is_control));
    }
}

#[test]
fn many_small_fields_are_kept_as_far_as_they_fit() {
    let mut error = ApiError::new(Reason::InvalidLaunch, "40 regions are wrong");
    for i in 0..40 {
        error = error.field(&format!("spec.regions[{i}].gpa"), "is not aligned");
    }
    let status = Status::from(error);
    let bad = status.get_details_bad_request().expect("has it");
    assert_eq!(bad.field_violations.len(), 33);
    assert_eq!(bad.field_violations[32].description, "… and 8 more");
}
