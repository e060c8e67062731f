#include "scheduler/verdict.h"

namespace keles::scheduler {
namespace {

Verdict of_one(Code code, std::string reason) {
  Verdict v{code, nullptr};
  if (!reason.empty()) {
    v.reasons = std::make_shared<const std::vector<std::string>>(
        std::vector<std::string>{std::move(reason)});
  }
  return v;
}

}  // namespace

std::string_view code_name(Code code) {
  switch (code) {
    case Code::kSuccess:
      return "Success";
    case Code::kError:
      return "Error";
    case Code::kUnschedulable:
      return "Unschedulable";
    case Code::kUnresolvable:
      return "UnschedulableAndUnresolvable";
    case Code::kWait:
      return "Wait";
    case Code::kSkip:
      return "Skip";
  }
  return "";
}

Reasons make_reasons(std::initializer_list<std::string> texts) {
  return std::make_shared<const std::vector<std::string>>(texts);
}

std::string Verdict::message() const {
  std::string out;
  if (!reasons) return out;
  for (const std::string& r : *reasons) {
    if (!out.empty()) out += ", ";
    out += r;
  }
  return out;
}

Verdict Verdict::unschedulable(std::string reason) {
  return of_one(Code::kUnschedulable, std::move(reason));
}
Verdict Verdict::unresolvable(std::string reason) {
  return of_one(Code::kUnresolvable, std::move(reason));
}
Verdict Verdict::error(std::string what) { return of_one(Code::kError, std::move(what)); }

}  // namespace keles::scheduler
