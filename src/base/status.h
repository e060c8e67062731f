// Status and Result<T>: how every fallible call in keles reports its outcome.
//
// A Status is the API's own Status (code, reason, message, details; see
// https://kubernetes.io/docs/reference/generated/kubernetes-api/ "Status"), so that what the
// store says is what the user reads. No exception crosses a library's boundary. A Reason exists
// only if some caller branches on it.
//
// Thread-safety: values; copying a Status shares its immutable body.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace keles {

enum class Reason : uint8_t {
  kUnknown,                // 500, reason ""
  kBadRequest,             // 400
  kUnauthorized,           // 401
  kForbidden,              // 403
  kNotFound,               // 404
  kMethodNotAllowed,       // 405
  kNotAcceptable,          // 406
  kAlreadyExists,          // 409
  kConflict,               // 409
  kGone,                   // 410
  kExpired,                // 410, resource version too old
  kRequestEntityTooLarge,  // 413
  kUnsupportedMediaType,   // 415
  kInvalid,                // 422
  kTooManyRequests,        // 429
  kInternalError,          // 500
  kServiceUnavailable,     // 503
  kServerTimeout,          // 500 with retry: the server could not finish in time; nothing was done
  kTimeout,                // 504: outcome within the deadline is not known to the client
  kOutcomeUnknown,         // a write was sent and its reply lost: it may or may not have happened
  kCancelled,              // the caller gave up (Context cancelled)
  kUnavailable,            // could not connect, connection lost: try again
};

// The wire spelling of a reason ("NotFound"; "" for kUnknown) and its HTTP code.
std::string_view reason_name(Reason);
int reason_code(Reason);
// The reason that a peer's Status carries; `code` decides when the name is unknown.
Reason reason_from(std::string_view name, int code);

struct StatusCause {
  std::string type;  // "FieldValueInvalid", ...
  std::string message;
  std::string field;  // "spec.containers[0].name"
};

struct StatusDetails {
  std::string name, group, kind,
      uid;  // `kind` holds the resource ("pods") or the kind ("Pod"), as upstream
  std::vector<StatusCause> causes;
  int retry_after_seconds = 0;
};

class [[nodiscard]] Status {
 public:
  Status() = default;  // success
  Status(Reason reason, std::string message, StatusDetails details = {}, int code = 0);

  bool ok() const { return rep_ == nullptr; }
  Reason reason() const { return rep_ ? rep_->reason : Reason::kUnknown; }
  bool is(Reason r) const { return rep_ && rep_->reason == r; }
  int code() const { return rep_ ? rep_->code : 200; }
  const std::string& message() const;
  const StatusDetails& details() const;
  // The same error, its message preceded by "prefix: ".
  Status with_prefix(std::string_view prefix) const;
  // "OK", or "NotFound: pods \"x\" not found"; for logs.
  std::string to_string() const;

  // Upstream's messages (k8s.io/apimachinery/pkg/api/errors). `resource` is "pods" or
  // "deployments.apps".
  static Status bad_request(std::string message);
  static Status unauthorized(std::string message = "Unauthorized");
  static Status not_found(std::string_view group, std::string_view resource, std::string_view name);
  static Status already_exists(std::string_view group, std::string_view resource,
                               std::string_view name);
  static Status conflict(std::string_view group, std::string_view resource, std::string_view name,
                         std::string_view why);
  static Status forbidden(std::string_view group, std::string_view resource, std::string_view name,
                          std::string_view why);
  // Kind.group "name" is invalid: with every field error.
  static Status invalid(std::string_view group, std::string_view kind, std::string_view name,
                        std::vector<StatusCause> causes);
  static Status method_not_supported(std::string_view group, std::string_view resource,
                                     std::string_view verb);
  static Status expired(std::string message);
  static Status internal(std::string message);  // "Internal error occurred: " + message
  static Status timeout(std::string message);
  static Status cancelled(std::string message = "cancelled");
  static Status unavailable(std::string message);

 private:
  struct Rep {
    Reason reason;
    int code;
    std::string message;
    StatusDetails details;
  };
  std::shared_ptr<const Rep> rep_;
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : v_(std::in_place_index<0>, std::move(value)) {}       // NOLINT(implicit)
  Result(Status error) : v_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(implicit)
  bool ok() const { return v_.index() == 0; }
  explicit operator bool() const { return ok(); }
  // The error, or OK.
  Status status() const { return ok() ? Status() : std::get<1>(v_); }
  T& value() & { return std::get<0>(v_); }
  const T& value() const& { return std::get<0>(v_); }
  T&& value() && { return std::get<0>(std::move(v_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T value_or(T fallback) const { return ok() ? value() : std::move(fallback); }

 private:
  std::variant<T, Status> v_;
};

}  // namespace keles

// Early return on error. TRY* in plain functions, *_CO in coroutines (two statements: GCC 12
// crashes on co_await inside a statement expression). `expr` is evaluated once.
#define KELES_CAT2(a, b) a##b
#define KELES_CAT(a, b) KELES_CAT2(a, b)
#define TRY(expr)                                           \
  do {                                                      \
    ::keles::Status try_status_ = ::keles::as_status(expr); \
    if (!try_status_.ok()) return try_status_;              \
  } while (false)
#define TRY_ASSIGN(name, expr)                                                    \
  auto KELES_CAT(name, _result_) = (expr);                                        \
  if (!KELES_CAT(name, _result_).ok()) return KELES_CAT(name, _result_).status(); \
  auto& name = *KELES_CAT(name, _result_)
#define TRY_CO(expr)                                                  \
  do {                                                                \
    auto try_result_ = co_await (expr);                               \
    if (!try_result_.ok()) co_return ::keles::as_status(try_result_); \
  } while (false)
#define TRY_ASSIGN_CO(name, expr)                                                    \
  auto KELES_CAT(name, _result_) = co_await (expr);                                  \
  if (!KELES_CAT(name, _result_).ok()) co_return KELES_CAT(name, _result_).status(); \
  auto& name = *KELES_CAT(name, _result_)

namespace keles {
inline Status as_status(Status s) { return s; }
template <class T>
Status as_status(const Result<T>& r) {
  return r.status();
}
}  // namespace keles
