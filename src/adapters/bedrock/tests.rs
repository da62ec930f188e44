use super::*;
use crate::{
    adapters::test_loopback::{Answer, ask, model_at, question},
    domain::{StopReason, Strategy},
    pipeline::Part,
};

fn asked(api: Api) -> Question {
    question(api, Strategy::ForcedTool)
}

async fn error(api: Api, answer: Answer<'_>) -> ModelError {
    ask(&asked(api), answer).await.1.unwrap_err()
}

const APIS: [Api; 2] = [Api::Messages, Api::Converse];

#[tokio::test]
async fn an_error_means_the_same_through_both_operations() {
    use ModelError::{Credentials, EndOfLife, Filtered, ImageUnreadable, NotEnabled, ProfileRequired, QuotaExceeded};
    use ModelError::{Rejected, Throttled, Unavailable};
    let unavailable = |detail: &str, retryable| Unavailable { detail: detail.to_owned(), retryable };
    let invalid = "ValidationException";
    let rejected = || Rejected { detail: format!("400 {invalid}") };
    let table = [
        (429, "ThrottlingException", "Too many requests, please wait before trying again.", Throttled),
        (429, "ThrottlingException", "Too many tokens per day, please wait before trying again.", QuotaExceeded),
        (429, "ModelNotReadyException", "", unavailable("429 ModelNotReadyException", true)),
        (400, "ServiceQuotaExceededException", "", QuotaExceeded),
        (403, "AccessDeniedException", "", NotEnabled { detail: "403 AccessDeniedException".to_owned() }),
        (403, "ExpiredTokenException", "", Credentials { detail: "403 ExpiredTokenException".to_owned() }),
        (404, "ResourceNotFoundException", "This model version has reached the end of its life.", EndOfLife),
        (404, "UnknownOperationException", "", Rejected { detail: "404 UnknownOperationException".to_owned() }),
        (404, "", "", Rejected { detail: "404 ".to_owned() }),
        (408, "ModelTimeoutException", "", unavailable("408 ModelTimeoutException", false)),
        (500, "InternalServerException", "", unavailable("500 InternalServerException", true)),
        (503, "ServiceUnavailableException", "", unavailable("503 ServiceUnavailableException", true)),
        (400, invalid, "Invocation of model ID x with on-demand throughput isn't supported.", ProfileRequired),
        (400, invalid, "The provided model identifier is invalid.", NotEnabled { detail: format!("400 {invalid}") }),
        (400, invalid, "Operation not allowed", NotEnabled { detail: format!("400 {invalid}") }),
        (400, invalid, "messages.0.content.0.image.source.base64.data: Could not process image", ImageUnreadable),
        (400, invalid, "The provided image does not match the specified image format.", ImageUnreadable),
        (400, invalid, "Failed to decode image", ImageUnreadable),
        (400, invalid, "Output blocked by content filtering policy", Filtered),
        (400, invalid, "image exceeds 5 MB maximum: 6000000 bytes > 5242880 bytes", rejected()),
        (400, invalid, "The image was specified using the image/jpeg media type, but it is another", rejected()),
        (400, invalid, "Input is too long for requested model.", rejected()),
        (418, "TeapotException", "", Rejected { detail: "418 TeapotException".to_owned() }),
    ];
    for (status, code, message, expected) in table {
        let body = serde_json::json!({ "message": message }).to_string();
        for api in APIS {
            assert_eq!(error(api, Answer::Error(status, code, &body)).await, expected, "{api:?} {code} {message}");
        }
    }
}

#[tokio::test]
async fn a_models_own_fault_is_the_services_from_500_on() {
    for api in APIS {
        let with = async |status: &str| {
            error(api, Answer::Error(424, "ModelErrorException", &format!(r#"{{"message":""{status}}}"#))).await
        };
        assert!(with(r#","originalStatusCode":503"#).await.is_retryable());
        let rejected = ModelError::Rejected { detail: "424 ModelErrorException".to_owned() };
        assert_eq!(with(r#","originalStatusCode":400"#).await, rejected);
        assert_eq!(with("").await, rejected);
    }
}

#[tokio::test]
async fn a_fault_that_the_model_calls_passing_is_tried_again_and_one_of_its_tool_leads_to_another_way() {
    let passing = "The system encountered an unexpected error during processing. Try your request again.";
    let of_tool = "Model produced invalid sequence as part of ToolUse. Please refer to the model tool use guide.";
    for (api, status) in APIS.into_iter().flat_map(|api| [(api, ""), (api, r#","originalStatusCode":500"#)]) {
        let says = async |words: &str| {
            error(api, Answer::Error(424, "ModelErrorException", &format!(r#"{{"message":"{words}"{status}}}"#))).await
        };
        assert!(says(passing).await.is_retryable(), "{api:?} {status}");
        let part = Part::Strategy(Strategy::AutoTool);
        let dropped = ModelError::PartRefused {
            part,
            lasting: false,
            may_be_billed: true,
            detail: "424 ModelErrorException".to_owned(),
        };
        assert_eq!(says(of_tool).await, dropped, "{api:?} {status}");
    }
}

#[tokio::test]
async fn a_refused_part_is_named_without_the_services_words() {
    let body = r#"{"message":"The model returned the following errors: tool_choice: type \"tool\" and \"any\" are not supported for this model."}"#;
    for api in APIS {
        let expected = ModelError::PartRefused {
            part: Part::Strategy(Strategy::ForcedTool),
            lasting: true,
            may_be_billed: false,
            detail: "400 ValidationException".to_owned(),
        };
        assert_eq!(error(api, Answer::Error(400, "ValidationException", body)).await, expected);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer_may_be_tried_again_and_one_that_breaks_in_it_may_not() {
    for api in APIS {
        assert!(error(api, Answer::Close).await.is_retryable());
        let cut = error(api, Answer::Cut).await;
        assert!(matches!(cut, ModelError::Unavailable { retryable: false, .. }), "{cut:?}");
    }
}

#[tokio::test]
async fn a_refused_connection_may_be_tried_again() {
    // Bound, and not listened on: no other test is given the port meanwhile.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = held.local_addr().unwrap().to_string();
    for api in APIS {
        let question = asked(api);
        assert!(model_at(&address, &question).await.ask(&question).await.unwrap_err().is_retryable());
    }
}

// A full backlog leaves a connection waiting on Linux alone. The clock is paused: nobody waits for the timeout.
#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn a_connection_that_is_not_made_in_time_may_be_tried_again() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let _only_one = std::net::TcpStream::connect(address).unwrap();
    for api in APIS {
        let question = asked(api);
        let error = model_at(&address.to_string(), &question).await.ask(&question).await.unwrap_err();
        assert!(error.is_retryable(), "{error:?}");
        assert!(error.to_string().contains("timeout"), "{error:?}");
    }
}

// The service takes the request and says nothing.
#[tokio::test(start_paused = true)]
async fn silence_after_the_request_is_not_tried_again() {
    for api in APIS {
        let error = error(api, Answer::Nothing).await;
        assert!(matches!(error, ModelError::Unavailable { retryable: false, .. }), "{error:?}");
    }
}

#[tokio::test]
async fn claudes_answer_comes_through_invoke_model() {
    let answer = r#"{"content":[{"type":"tool_use","id":"t","name":"report_analysis","input":{"answer" : "ok"}}],
        "stop_reason":"refusal","usage":{"input_tokens":7,"output_tokens":2}}"#;
    let tagged = Question { tags: [("team".to_owned(), "search".to_owned())].into(), ..asked(Api::Messages) };
    let (seen, reply) = ask(&tagged, Answer::Ok(answer)).await;
    assert!(seen.head.starts_with("post /model/global.anthropic.claude-sonnet-5/invoke "), "{}", seen.head);
    assert!(seen.head.contains(r#"x-amzn-bedrock-request-metadata: {"team":"search"}"#), "{}", seen.head);
    let reply = reply.unwrap();
    assert_eq!((reply.text.as_str(), reply.stop_reason), (r#"{"answer" : "ok"}"#, StopReason::Refusal));
    assert_eq!(reply.upstream_request_id.as_deref(), Some("request-1"));
}

#[tokio::test]
async fn a_model_is_asked_in_the_region_that_its_entry_or_its_arn_names() {
    let arn = "arn:aws:bedrock:ap-northeast-2:123456789012:inference-profile/apac.anthropic.claude-sonnet-5";
    let table = [
        (None, "global.anthropic.claude-sonnet-5", "eu-central-1"),
        (Some("us-west-2"), "us.anthropic.claude-sonnet-5", "us-west-2"),
        (None, arn, "ap-northeast-2"),
        (None, "arn:", "eu-central-1"),
    ];
    for (region, id, expected) in table {
        let mut question = asked(Api::Converse);
        (question.model.region, question.model.id) = (region.map(str::to_owned), id.to_owned());
        let (seen, _) = ask(&question, Answer::Error(500, "InternalServerException", "{}")).await;
        assert!(seen.head.contains(&format!("/{expected}/bedrock/aws4_request")), "{}", seen.head);
        assert_eq!(model_at("127.0.0.1:1", &question).await.region(&question.model), expected);
    }
}

#[tokio::test]
async fn a_region_without_a_client_is_the_servers_own() {
    let mut question = asked(Api::Messages);
    let model = model_at("127.0.0.1:1", &question).await;
    question.model.region = Some("mars-north-1".to_owned());
    assert_eq!(model.region(&question.model), "eu-central-1");
}
