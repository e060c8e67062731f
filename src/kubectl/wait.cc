#include <algorithm>
#include <cstdio>
#include <optional>

#include "kubectl/jsonpath.h"
#include "kubectl/print.h"
#include "kubectl/select.h"
#include "kubectl/verbs.h"
#include "machinery/time.h"

namespace keles::kubectl {
namespace {

std::string lower(std::string_view s) {
  std::string out(s);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

struct Condition {
  enum class Kind { kCreate, kDelete, kCondition, kJsonPath } kind = Kind::kCondition;
  std::string type, value = "true";
  JsonPath path;
  bool any_value = false;  // a jsonpath without "=value": there is one
};

Result<Condition> parse_jsonpath(std::string_view text) {
  Condition c;
  c.kind = Condition::Kind::kJsonPath;
  Status form = failure(
      "jsonpath wait format must be --for=jsonpath='{.status.readyReplicas}'=3 or "
      "--for=jsonpath='{.status.readyReplicas}'");
  if (text.empty()) return form;
  size_t close = text.rfind('}');
  size_t eq = text.find('=', close == text.npos ? 0 : close);
  std::string_view path = text.substr(0, eq);
  c.any_value = eq == text.npos;
  if (!c.any_value) {
    std::string_view v = text.substr(eq + 1);
    if (v.empty()) {
      return failure(
          "jsonpath wait has to have a value after equal sign, like "
          "--for=jsonpath='{.status.readyReplicas}'=3");
    }
    auto quote = [](char ch) { return ch == '"' || ch == '\''; };
    while (!v.empty() && quote(v.front())) v.remove_prefix(1);
    while (!v.empty() && quote(v.back())) v.remove_suffix(1);
    c.value = v;
  }
  TRY_ASSIGN(relaxed, JsonPath::relaxed(path));
  if (relaxed.empty()) return failure("jsonpath expression cannot be empty");
  TRY_ASSIGN(parsed, JsonPath::parse(relaxed));
  c.path = parsed;
  return c;
}

Result<Condition> parse_condition(const std::string& text) {
  Condition c;
  if (lower(text) == "delete") {
    c.kind = Condition::Kind::kDelete;
  } else if (lower(text) == "create") {
    c.kind = Condition::Kind::kCreate;
  } else if (text.starts_with("condition=")) {
    std::string rest = text.substr(10);
    size_t eq = rest.find('=');
    c.type = lower(rest.substr(0, eq));
    if (eq != rest.npos) c.value = lower(rest.substr(eq + 1));
  } else if (text.starts_with("jsonpath=")) {
    return parse_jsonpath(std::string_view(text).substr(9));
  } else {
    return failure("unrecognized condition: \"" + text + "\"");
  }
  return c;
}

Result<bool> holds(const Condition& c, const Value& object) {
  if (c.kind == Condition::Kind::kCreate) return true;
  if (c.kind == Condition::Kind::kJsonPath) {
    TRY_ASSIGN(found, c.path.find(object));
    if (found.empty() || found[0].empty()) return false;
    if (found.size() > 1) return failure("given jsonpath expression matches more than one list");
    if (found[0].size() > 1) {
      return failure("given jsonpath expression matches more than one value");
    }
    const Value& v = *found[0][0];
    if (c.any_value) return true;
    if (v.is_list() || v.is_map()) {
      return failure("jsonpath leads to a nested object or list which is not supported");
    }
    return jsonpath_text(v) == c.value;
  }
  for (const Value& one : object["status"]["conditions"].items()) {
    if (lower(one["type"].as_string()) != c.type) continue;
    const Value& own = one["observedGeneration"];
    const Value& seen = own.is_null() ? object["status"]["observedGeneration"] : own;
    bool stale = seen.is_int() && seen.as_int() < object["metadata"]["generation"].as_int();
    return !stale && lower(one["status"].as_string()) == c.value;
  }
  return false;
}

class Waiter {
 public:
  Waiter(Session& session, std::vector<Condition> conditions, Duration timeout,
         std::optional<ObjectPrinter> printer)
      : session_(session), conditions_(std::move(conditions)), printer_(std::move(printer)) {
    if (timeout.count() < 0) timeout = 168h;
    end_ = session_.loop().now() + timeout;
    once_ = timeout.count() == 0;
  }

  Status run(const Query& q) {
    bool for_delete = wants(Condition::Kind::kDelete), for_create = wants(Condition::Kind::kCreate);
    std::vector<Found> found;
    for (;;) {
      std::vector<Status> errors;
      found.clear();
      TRY_ASSIGN(now, find_objects(session_, q, &errors));
      bool all_missing = std::all_of(errors.begin(), errors.end(),
                                     [](const Status& s) { return s.is(Reason::kNotFound); });
      if (!all_missing || (!errors.empty() && !for_delete && !for_create)) {
        return combine(std::move(errors));
      }
      found = std::move(now);
      if (!for_create || !found.empty()) break;
      if (session_.loop().now() >= end_) return failure("timed out waiting for the condition");
      session_.sleep(200ms);
    }
    if (found.empty() && !for_delete) return failure("no matching resources found");
    std::vector<Status> errors;
    for (const Found& f : found) {
      for (const Condition& c : conditions_) {
        Status s = c.kind == Condition::Kind::kDelete ? until_gone(f) : until(f, c);
        if (!s.ok()) {
          errors.push_back(s);
          break;
        }
        TRY(met(f));
      }
    }
    return combine(std::move(errors));
  }

 private:
  Status met(const Found& f) {
    std::string line = f.display() + " condition met\n";
    if (printer_) {
      TRY_ASSIGN(shown, printer_->print(last_.root));
      line = shown;
    }
    print(line);
    std::fflush(stdout);
    return Status();
  }

  bool wants(Condition::Kind k) const {
    return std::any_of(conditions_.begin(), conditions_.end(),
                       [k](const Condition& c) { return c.kind == k; });
  }

  Status late(const Found& f) const {
    std::string which = f.resource->plural + "/" + f.name;
    return failure(once_ ? "condition not met for " + which
                         : "timed out waiting for the condition on " + which);
  }

  Status until(const Found& f, const Condition& c) {
    for (;;) {
      Result<Document> now = session_.call(Call("GET", f.path()));
      if (!now.ok()) return now.status();
      TRY_ASSIGN(yes, holds(c, now->root));
      if (yes) {
        last_ = std::move(*now);
        return Status();
      }
      if (session_.loop().now() >= end_) return late(f);
      session_.sleep(100ms);
    }
  }

  Status until_gone(const Found& f) {
    std::string uid(f.object.root["metadata"]["uid"].as_string());
    last_ = f.object.clone();
    for (;;) {
      Result<Document> now = session_.call(Call("GET", f.path()));
      if (now.status().is(Reason::kNotFound)) return Status();
      if (!now.ok()) return now.status();
      if (now->root["metadata"]["uid"].as_string() != uid) return Status();
      last_ = std::move(*now);
      if (session_.loop().now() >= end_) return late(f);
      session_.sleep(100ms);
    }
  }

  Session& session_;
  std::vector<Condition> conditions_;
  std::optional<ObjectPrinter> printer_;
  Document last_;  // as it was when its condition was met
  TimePoint end_;
  bool once_ = false;
};

}  // namespace

Status wait(Invocation& in) {
  Query q;
  std::vector<std::string> wanted;
  std::string timeout = "30s";
  OutputFlags output;
  in.flags.add_array("for", &wanted,
                     "The condition to wait on: [create|delete|condition=condition-name"
                     "[=condition-value]|jsonpath='{JSONPath expression}'=[JSONPath value]].");
  in.flags.add("timeout", &timeout,
               "The length of time to wait before giving up. Zero means check once and don't wait, "
               "negative means wait for a week.");
  in.flags.add("selector", &q.label_selector, "Selector (label query) to filter on", 'l');
  in.flags.add("field-selector", &q.field_selector, "Selector (field query) to filter on");
  in.flags.add("all", &q.all, "Select all resources in the namespace of the specified types");
  in.flags.add("all-namespaces", &q.all_namespaces,
               "If present, list the requested object(s) across all namespaces.", 'A');
  q.files.add_to(in.flags, "identifying the resource.");
  output.add_to(in.flags);
  TRY(in.parse());
  TRY_ASSIGN(printer, ObjectPrinter::make(output, false));
  q.args = in.args;
  Result<Duration> limit = parse_duration(timeout);
  if (!limit.ok()) {
    return plain_failure("error: invalid argument \"" + timeout + "\" for \"--timeout\" flag: " +
                         limit.status().message() + "\nSee 'kubectl wait --help' for usage.");
  }
  if (wanted.empty()) return failure("unrecognized condition: \"\"");
  std::vector<Condition> conditions;
  for (const std::string& w : wanted) {
    TRY_ASSIGN(c, parse_condition(w));
    conditions.push_back(c);
  }
  TRY_ASSIGN(session, in.session());
  return Waiter(*session, std::move(conditions), *limit, std::move(printer)).run(q);
}

}  // namespace keles::kubectl
