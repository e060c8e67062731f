#include "kubectl/errors.h"

#include <algorithm>

namespace keles::kubectl {
namespace {

// A client's own failure is told from a server's answer by its code, which is no HTTP code: the
// exit code, plus one of these.
constexpr int kPlain = 1000, kDone = 2000, kSilent = 3000, kSeveral = 4000, kOwn = 5000;

int form_of(const Status& s) { return s.code() / 1000 * 1000; }

Status own(int form, std::string message, int exit_code, StatusDetails details = {}) {
  return Status(Reason::kUnknown, std::move(message), std::move(details), form + exit_code);
}

// Errors that were combined last, by index in the message: a Status has no room for others.
std::vector<std::vector<Status>>& combined() {
  static std::vector<std::vector<Status>> all;
  return all;
}

std::string invalid_text(const Status& s) {
  const StatusDetails& d = s.details();
  std::string head = "The request is invalid";
  if (!d.kind.empty() || !d.name.empty()) {
    head = "The " + d.kind + " \"" + d.name + "\" is invalid";
  } else if (d.causes.empty() && !s.message().empty()) {
    head += ": " + s.message();
  }
  std::vector<std::string> lines;
  for (const StatusCause& c : d.causes) {
    std::string line = c.field + ": " + c.message;
    if (std::find(lines.begin(), lines.end(), line) == lines.end()) lines.push_back(line);
  }
  if (lines.empty()) return head;
  if (lines.size() == 1) return head + ": " + lines[0];
  head += ": ";
  for (const std::string& line : lines) head += "\n* " + line;
  return head;
}

// As a part of several: a client's own failure then goes without "error: ".
std::string text_of(const Status& s, bool alone) {
  if (is_server_error(s)) {
    if (s.is(Reason::kInvalid) && alone) return invalid_text(s);
    if (s.is(Reason::kUnauthorized)) {
      return "error: You must be logged in to the server (" + s.message() + ")";
    }
    std::string reason(reason_name(s.reason()));
    return (reason.empty() ? "Error from server: " : "Error from server (" + reason + "): ") +
           s.message();
  }
  bool bare = form_of(s) == kPlain || !alone || s.message().starts_with("error: ");
  return bare ? s.message() : "error: " + s.message();
}

}  // namespace

Status failure(std::string message, int exit_code) {
  return own(kOwn, std::move(message), exit_code);
}
Status plain_failure(std::string message, int exit_code) {
  return own(kPlain, std::move(message), exit_code);
}
Status done() { return own(kDone, "done", 0); }
Status silent(int exit_code) { return own(kSilent, "", exit_code); }

bool is_server_error(const Status& s) { return !s.ok() && s.code() >= 400 && s.code() < 1000; }

Status combine(std::vector<Status> errors) {
  if (errors.empty()) return Status();
  if (errors.size() == 1) return errors[0];
  combined().push_back(std::move(errors));
  return own(kSeveral, std::to_string(combined().size() - 1), 1);
}

std::vector<Status> parts_of(const Status& s) {
  if (s.ok()) return {};
  if (form_of(s) != kSeveral) return {s};
  std::vector<Status> out;
  for (const Status& one : combined()[std::stoul(s.message())]) {
    for (Status& part : parts_of(one)) out.push_back(std::move(part));
  }
  return out;
}

std::string describe_error(const Status& s) {
  if (s.ok() || form_of(s) == kDone || form_of(s) == kSilent) return "";
  std::vector<Status> parts = parts_of(s);
  std::string out;
  for (const Status& part : parts) {
    out += text_of(part, parts.size() == 1);
    if (!out.ends_with('\n')) out += '\n';
  }
  return out;
}

int exit_code_of(const Status& s) {
  if (s.ok()) return 0;
  return is_server_error(s) || s.code() < 1000 ? 1 : s.code() % 1000;
}

}  // namespace keles::kubectl
