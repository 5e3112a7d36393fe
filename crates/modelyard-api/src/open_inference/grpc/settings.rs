//! Between gRPC's messages and the settings of traces and of the log.

use std::collections::HashMap;

use tonic::Status;

use super::proto::inference::log_settings_request::SettingValue as LogGivenValue;
use super::proto::inference::log_settings_request::setting_value::ParameterChoice as LogGivenChoice;
use super::proto::inference::log_settings_response::SettingValue as LogToldValue;
use super::proto::inference::log_settings_response::setting_value::ParameterChoice as LogToldChoice;
use super::proto::inference::trace_setting_response::SettingValue as TraceToldValue;
use super::proto::inference::{
    LogSettingsRequest, LogSettingsResponse, TraceSettingRequest, TraceSettingResponse,
};
use super::status::refuse;
use crate::open_inference::settings::{self, LogTold, LogValue, TraceTold};
use crate::router::Service;

/// Changes trace settings and tells them.
pub(super) fn trace(service: &Service, request: TraceSettingRequest) -> Result<TraceSettingResponse, Status> {
    let TraceSettingRequest { settings: given, model_name } = request;
    let given = given.into_iter().map(|(name, setting)| (name, setting.value)).collect();
    let model = Some(model_name.as_str()).filter(|name| !name.is_empty());
    let told = settings::trace_settings(service, model, &given);
    let TraceTold { trace_level, trace_rate, trace_count, log_frequency, trace_mode } =
        told.map_err(|failure| refuse(service, failure))?;
    let one = |name: &str, text: String| (name.to_owned(), TraceToldValue { value: vec![text] });
    let settings = HashMap::from([
        one("trace_level", trace_level.concat()),
        one("trace_rate", trace_rate),
        one("trace_count", trace_count),
        one("log_frequency", log_frequency),
        one("trace_mode", trace_mode.to_owned()),
    ]);
    Ok(TraceSettingResponse { settings })
}

/// Changes log settings and tells them.
pub(super) fn log(service: &Service, request: LogSettingsRequest) -> Result<LogSettingsResponse, Status> {
    let value = |setting: LogGivenValue| match setting.parameter_choice {
        Some(LogGivenChoice::BoolParam(truth)) => LogValue::Truth(truth),
        Some(LogGivenChoice::Uint32Param(number)) => LogValue::Number(number),
        Some(LogGivenChoice::StringParam(text)) => LogValue::Text(text),
        None => LogValue::Other(serde::de::IgnoredAny),
    };
    let given = request.settings.into_iter().map(|(name, setting)| (name, value(setting))).collect();
    let told = settings::log_settings(service, &given);
    let LogTold { log_file, log_info, log_warning, log_error, log_verbose_level, log_format } =
        told.map_err(|failure| refuse(service, failure))?;
    let one = |name: &str, choice| (name.to_owned(), LogToldValue { parameter_choice: Some(choice) });
    let settings = HashMap::from([
        one("log_file", LogToldChoice::StringParam(log_file.to_owned())),
        one("log_info", LogToldChoice::BoolParam(log_info)),
        one("log_warning", LogToldChoice::BoolParam(log_warning)),
        one("log_error", LogToldChoice::BoolParam(log_error)),
        one("log_verbose_level", LogToldChoice::Uint32Param(log_verbose_level)),
        one("log_format", LogToldChoice::StringParam(log_format.to_owned())),
    ]);
    Ok(LogSettingsResponse { settings })
}
