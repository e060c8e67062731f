#include "base/status.h"

#include <algorithm>
#include <array>

namespace keles {
namespace {

struct ReasonRow {
  std::string_view name;
  int code;
};

constexpr std::array<ReasonRow, 22> kReasons{{
    {"", 500},
    {"BadRequest", 400},
    {"Unauthorized", 401},
    {"Forbidden", 403},
    {"NotFound", 404},
    {"MethodNotAllowed", 405},
    {"NotAcceptable", 406},
    {"AlreadyExists", 409},
    {"Conflict", 409},
    {"Gone", 410},
    {"Expired", 410},
    {"RequestEntityTooLarge", 413},
    {"UnsupportedMediaType", 415},
    {"Invalid", 422},
    {"TooManyRequests", 429},
    {"InternalError", 500},
    {"ServiceUnavailable", 503},
    {"ServerTimeout", 500},
    {"Timeout", 504},
    {"OutcomeUnknown", 500},
    {"Cancelled", 499},
    {"Unavailable", 503},
}};

std::string qualified(std::string_view group, std::string_view resource) {
  std::string s(resource);
  if (!group.empty()) s.append(".").append(group);
  return s;
}

StatusDetails details_of(std::string_view group, std::string_view kind, std::string_view name) {
  StatusDetails d;
  d.name = name;
  d.group = group;
  d.kind = kind;
  return d;
}

const std::string kEmpty;
const StatusDetails kNoDetails;

}  // namespace

std::string_view reason_name(Reason r) { return kReasons[static_cast<size_t>(r)].name; }
int reason_code(Reason r) { return kReasons[static_cast<size_t>(r)].code; }

Reason reason_from(std::string_view name, int code) {
  if (!name.empty()) {
    for (size_t i = 0; i < kReasons.size(); ++i) {
      if (kReasons[i].name == name) return static_cast<Reason>(i);
    }
  }
  for (size_t i = 1; i < kReasons.size(); ++i) {
    if (kReasons[i].code == code) return static_cast<Reason>(i);
  }
  return Reason::kUnknown;
}

Status::Status(Reason reason, std::string message, StatusDetails details, int code)
    : rep_(std::make_shared<const Rep>(Rep{reason, code ? code : reason_code(reason),
                                           std::move(message), std::move(details)})) {}

const std::string& Status::message() const { return rep_ ? rep_->message : kEmpty; }
const StatusDetails& Status::details() const { return rep_ ? rep_->details : kNoDetails; }

Status Status::with_prefix(std::string_view prefix) const {
  if (ok()) return *this;
  return Status(rep_->reason, std::string(prefix) + ": " + rep_->message, rep_->details,
                rep_->code);
}

std::string Status::to_string() const {
  if (ok()) return "OK";
  auto name = reason_name(rep_->reason);
  return name.empty() ? rep_->message : std::string(name) + ": " + rep_->message;
}

Status Status::bad_request(std::string message) {
  return Status(Reason::kBadRequest, std::move(message));
}
Status Status::unauthorized(std::string message) {
  return Status(Reason::kUnauthorized, std::move(message));
}

Status Status::not_found(std::string_view group, std::string_view resource, std::string_view name) {
  return Status(Reason::kNotFound,
                qualified(group, resource) + " \"" + std::string(name) + "\" not found",
                details_of(group, resource, name));
}

Status Status::already_exists(std::string_view group, std::string_view resource,
                              std::string_view name) {
  return Status(Reason::kAlreadyExists,
                qualified(group, resource) + " \"" + std::string(name) + "\" already exists",
                details_of(group, resource, name));
}

Status Status::conflict(std::string_view group, std::string_view resource, std::string_view name,
                        std::string_view why) {
  return Status(Reason::kConflict,
                "Operation cannot be fulfilled on " + qualified(group, resource) + " \"" +
                    std::string(name) + "\": " + std::string(why),
                details_of(group, resource, name));
}

Status Status::forbidden(std::string_view group, std::string_view resource, std::string_view name,
                         std::string_view why) {
  std::string m;
  if (resource.empty()) {
    m = "forbidden: " + std::string(why);
  } else if (name.empty()) {
    m = qualified(group, resource) + " is forbidden: " + std::string(why);
  } else {
    m = qualified(group, resource) + " \"" + std::string(name) +
        "\" is forbidden: " + std::string(why);
  }
  return Status(Reason::kForbidden, std::move(m), details_of(group, resource, name));
}

Status Status::invalid(std::string_view group, std::string_view kind, std::string_view name,
                       std::vector<StatusCause> causes) {
  std::string m = qualified(group, kind) + " \"" + std::string(name) + "\" is invalid";
  std::vector<std::string> lines;  // each once; the causes keep what is repeated
  for (const StatusCause& c : causes) {
    std::string line = c.field + ": " + c.message;
    if (std::find(lines.begin(), lines.end(), line) == lines.end()) lines.push_back(line);
  }
  if (lines.size() == 1) {
    m += ": " + lines[0];
  } else if (!lines.empty()) {
    m += ": [";
    for (size_t i = 0; i < lines.size(); ++i) m += (i ? ", " : "") + lines[i];
    m += "]";
  }
  StatusDetails d = details_of(group, kind, name);
  d.causes = std::move(causes);
  return Status(Reason::kInvalid, std::move(m), std::move(d));
}

Status Status::method_not_supported(std::string_view group, std::string_view resource,
                                    std::string_view verb) {
  return Status(Reason::kMethodNotAllowed,
                std::string(verb) + " is not supported on resources of kind \"" +
                    qualified(group, resource) + "\"",
                details_of(group, resource, ""));
}

Status Status::expired(std::string message) { return Status(Reason::kExpired, std::move(message)); }
Status Status::internal(std::string message) {
  StatusDetails d;
  d.causes.push_back({"", message, ""});
  return Status(Reason::kInternalError, "Internal error occurred: " + message, std::move(d));
}
Status Status::timeout(std::string message) { return Status(Reason::kTimeout, std::move(message)); }
Status Status::cancelled(std::string message) {
  return Status(Reason::kCancelled, std::move(message));
}
Status Status::unavailable(std::string message) {
  return Status(Reason::kUnavailable, std::move(message));
}

}  // namespace keles
