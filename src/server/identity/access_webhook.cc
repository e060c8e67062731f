#include "server/identity/access_webhook.h"

#include "base/log.h"
#include "base/metrics.h"
#include "cel/env.h"
#include "cel/run.h"
#include "machinery/codec_json.h"
#include "server/identity/retry.h"

namespace keles::identity {
namespace {

using Word = auth::Verdict::Word;
constexpr size_t kAnswerBytes = 3 << 20;
constexpr size_t kMostCached = 10'000;  // bytes that a caller chooses, in one question

metrics::Counter& evaluations() {
  static metrics::Counter& c =
      metrics::counter("apiserver_authorization_webhook_evaluations_total",
                       "Round-trips to authorization webhooks.", {"name", "result"});
  return c;
}
metrics::Counter& fail_open() {
  static metrics::Counter& c =
      metrics::counter("apiserver_authorization_webhook_evaluations_fail_open_total",
                       "NoOpinion results due to webhook timeout or error.", {"name", "result"});
  return c;
}
metrics::Histogram& durations() {
  static metrics::Histogram& h = metrics::histogram(
      "apiserver_authorization_webhook_duration_seconds", "Request latency in seconds.",
      {"name", "result"}, {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10});
  return h;
}
metrics::Counter& exclusions() {
  static metrics::Counter& c = metrics::counter(
      "apiserver_authorization_match_condition_exclusions_total",
      "Total number of exclusions when an authorization webhook is skipped because match "
      "conditions exclude it.",
      {"type", "name"});
  return c;
}
metrics::Counter& condition_errors() {
  static metrics::Counter& c = metrics::counter(
      "apiserver_authorization_match_condition_evaluation_errors_total",
      "Total number of errors when an authorization webhook encounters a match condition error.",
      {"type", "name"});
  return c;
}

const cel::DeclPtr& spec_decl() {
  static const cel::DeclPtr decl = [] {
    const std::string text = R"({"type":"string"})",
                      texts = R"({"type":"array","items":)" + text + "}";
    const std::string selector =
        R"({"type":"object","properties":{"rawSelector":)" + text +
        R"(,"requirements":{"type":"array","items":{"type":"object","properties":{"key":)" + text +
        R"(,"operator":)" + text + R"(,"values":)" + texts + "}}}}}";
    std::string resource = R"({"type":"object","properties":{)";
    for (const char* name :
         {"namespace", "verb", "group", "version", "resource", "subresource", "name"}) {
      resource += "\"" + std::string(name) + "\":" + text + ",";
    }
    resource += R"("fieldSelector":)" + selector + R"(,"labelSelector":)" + selector + "}}";
    const std::string path =
        R"({"type":"object","properties":{"path":)" + text + R"(,"verb":)" + text + "}}";
    auto schema =
        parse_json(R"({"type":"object","properties":{"resourceAttributes":)" + resource +
                   R"(,"nonResourceAttributes":)" + path + R"(,"user":)" + text + R"(,"groups":)" +
                   texts + R"(,"uid":)" + text +
                   R"(,"extra":{"type":"object","additionalProperties":)" + texts + "}}}");
    return cel::decl_type(schema->root, false);
  }();
  return decl;
}

const cel::Env& spec_env() {
  static const cel::Env env = [] {
    cel::Env e;
    e.add_object("request", spec_decl(), "kubernetes.SubjectAccessReviewSpec");
    return e;
  }();
  return env;
}

// Writes an object: what is empty is left out, as Go's omitempty does.
class ObjectText {
 public:
  void text(const char* name, std::string_view value) {
    if (value.empty()) return;
    key(name);
    write_json_string(out_, value);
  }
  void texts(const char* name, const std::vector<std::string>& list) {
    if (list.empty()) return;
    key(name);
    write_list(list);
  }
  void extra(const std::map<std::string, std::vector<std::string>>& all) {
    if (all.empty()) return;
    key("extra");
    bool first = true;
    out_ += '{';
    for (const auto& [k, values] : all) {
      if (!std::exchange(first, false)) out_ += ',';
      write_json_string(out_, k);
      out_ += ':';
      write_list(values);
    }
    out_ += '}';
  }
  void demands(const char* name, const std::vector<SelectorDemand>& list) {
    if (list.empty()) return;
    key(name);
    out_ += "{\"requirements\":[";
    for (size_t i = 0; i < list.size(); ++i) {
      if (i > 0) out_ += ',';
      ObjectText one;
      one.text("key", list[i].key);
      one.text("operator", list[i].op);
      one.texts("values", list[i].values);
      out_ += one.take();
    }
    out_ += "]}";
  }
  void raw(const char* name, const std::string& json) {
    key(name);
    out_ += json;
  }
  std::string take() { return "{" + std::move(out_) + "}"; }

 private:
  void key(const char* name) {
    if (!out_.empty()) out_ += ',';
    out_ += '"' + std::string(name) + "\":";
  }
  void write_list(const std::vector<std::string>& list) {
    out_ += '[';
    for (size_t i = 0; i < list.size(); ++i) {
      if (i > 0) out_ += ',';
      write_json_string(out_, list[i]);
    }
    out_ += ']';
  }
  std::string out_;
};

// The tree that conditions see: every text is there, empty or not.
Document condition_view(const std::string& spec) {
  auto doc = parse_json(spec);
  if (!doc.ok()) return Document();
  Arena& a = doc->arena;
  auto fill = [&a](Value& map, std::initializer_list<const char*> names) {
    for (const char* name : names) {
      if (map.find(name) == nullptr) map.set(a, name, Value::string(""));
    }
  };
  fill(doc->root, {"user", "uid"});
  if (doc->root.find("groups") == nullptr) doc->root.set(a, "groups", Value::list());
  if (doc->root.find("extra") == nullptr) doc->root.set(a, "extra", Value::map());
  if (Value* r = doc->root.find("resourceAttributes")) {
    fill(*r, {"namespace", "verb", "group", "version", "resource", "subresource", "name"});
  }
  if (Value* p = doc->root.find("nonResourceAttributes")) fill(*p, {"path", "verb"});
  return std::move(*doc);
}

}  // namespace

Result<MatchCondition> compile_match_condition(std::string_view text) {
  auto checked = cel::Expression::compile(text, spec_env());
  if (!checked.ok()) {
    return Status::bad_request("compilation failed: " + checked.status().message());
  }
  if (checked->type()->kind != cel::TypeKind::kBool) {
    return Status::bad_request("must evaluate to bool but got " + checked->type()->to_string());
  }
  auto program = checked->plan();
  if (!program.ok()) {
    return Status::bad_request("program instantiation failed: " + program.status().message());
  }
  return MatchCondition{std::string(text), *program};
}

std::string review_spec(const Caller& caller, const Access& access, std::string_view version) {
  ObjectText spec;
  if (access.resource.empty()) {
    ObjectText path;
    path.text("path", access.path);
    path.text("verb", access.verb);
    spec.raw("nonResourceAttributes", path.take());
  } else {
    ObjectText r;
    r.text("namespace", access.ns);
    r.text("verb", access.verb);
    r.text("group", access.group);
    r.text("version", access.version);
    r.text("resource", access.resource);
    r.text("subresource", access.subresource);
    r.text("name", access.name);
    r.demands("fieldSelector", access.field_demands);
    r.demands("labelSelector", access.label_demands);
    spec.raw("resourceAttributes", r.take());
  }
  spec.text("user", caller.name);
  spec.texts(version == "v1beta1" ? "group" : "groups", caller.groups);
  spec.extra(caller.extra);
  spec.text("uid", caller.uid);
  return spec.take();
}

std::string review_text(const std::string& spec, std::string_view version) {
  return "{\"kind\":\"SubjectAccessReview\",\"apiVersion\":\"authorization.k8s.io/" +
         std::string(version) + "\",\"metadata\":{},\"spec\":" + spec +
         ",\"status\":{\"allowed\":false}}";
}

auth::Verdict read_access_review(std::string_view answer, bool deny_on_error) {
  auth::Verdict out;
  auto doc = parse_json(answer);
  if (!doc.ok() || !doc->root["status"].is_map()) {
    if (deny_on_error) out.word = Word::kDeny;
    out.error = "the webhook's answer is no SubjectAccessReview";
    return out;
  }
  const Value& status = doc->root["status"];
  const bool denied = status["denied"].as_bool(), allowed = status["allowed"].as_bool();
  out.reason = status["reason"].as_string();
  if (denied) out.word = Word::kDeny;
  if (allowed && !denied) out.word = Word::kAllow;
  if (allowed && denied) {
    out.error = "webhook subject access review returned both allow and deny response";
  }
  return out;
}

auth::Verdict AccessWebhook::failed(std::string why) const {
  auth::Verdict out;
  if (options_.deny_on_error) out.word = Word::kDeny;
  out.error = std::move(why);
  return out;
}
auth::Verdict AccessWebhook::unasked() const {
  return failed("the authorization webhook cannot be asked here");
}

auth::Verdict AccessWebhook::match(const std::string& spec) const {
  auth::Verdict open;
  open.word = Word::kAsk;
  if (options_.conditions.empty()) return open;
  Document view = condition_view(spec);
  cel::Run run;
  run.bind(0, cel::wrap(run, view.root, spec_decl().get()));
  std::string errors;
  for (const MatchCondition& c : options_.conditions) {
    run.restart(cel::kPerCallLimit);
    const cel::Val v = c.program->evaluate(run);
    if (v.is_false()) {
      exclusions().with({"Webhook", options_.name}).add();
      return auth::Verdict();
    }
    if (v.is_true()) continue;
    errors += (errors.empty() ? "" : ", ") + std::string("cel evaluation error: expression '") +
              c.text + "' resulted in error: " + std::string(v.text());
  }
  if (errors.empty()) return open;
  condition_errors().with({"Webhook", options_.name}).add();
  return failed(std::move(errors));
}

auth::Verdict AccessWebhook::now(const Caller& caller, const Access& access, TimePoint now) const {
  std::string spec = review_spec(caller, access, "v1");
  auth::Verdict matched = match(spec);
  if (matched.word != Word::kAsk) return matched;
  auto known = memory_.find(spec, now.ns);
  return known ? std::move(*known) : std::move(matched);
}

void AccessWebhook::keep(const Access& a, std::string spec, const auth::Verdict& said,
                         TimePoint now) {
  const size_t chosen = a.verb.size() + a.group.size() + a.version.size() + a.resource.size() +
                        a.subresource.size() + a.ns.size() + a.name.size() + a.path.size();
  if (chosen >= kMostCached) return;
  const bool yes = said.word == Word::kAllow;
  if (!(yes ? options_.keep_authorized : options_.keep_unauthorized)) return;
  const Duration ttl = yes ? options_.authorized_ttl : options_.unauthorized_ttl;
  if (ttl > Duration()) memory_.keep(std::move(spec), said, (now + ttl).ns);
}

Task<auth::Verdict> AccessWebhook::ask(Context ctx, Caller caller, Access access) {
  auto self = shared_from_this();
  const TimePoint began = ctx.loop().now();
  std::string sent = review_text(review_spec(caller, access, options_.version), options_.version);
  std::string result;
  auto answer = co_await post_with_patience(ctx, at_, std::move(sent), options_.timeout,
                                            kAnswerBytes, &result);
  const TimePoint ended = ctx.loop().now();
  evaluations().with({options_.name, result}).add();
  durations()
      .with({options_.name, result})
      .observe(std::chrono::duration<double>(ended - began).count());
  if (!answer.ok()) {
    log::error("Failed to make webhook authorizer request", {{"err", answer.status()}});
    if (!options_.deny_on_error && !ctx.done()) fail_open().with({options_.name, result}).add();
    auth::Verdict none = failed(answer.status().message());
    // Whose own time is over is not let by for it: who asks chooses how long that is.
    if (ctx.done()) none.word = Word::kDeny;
    co_return none;
  }
  auth::Verdict said = read_access_review(*answer, options_.deny_on_error);
  if (said.error.empty()) keep(access, review_spec(caller, access, "v1"), said, ended);
  co_return said;
}

}  // namespace keles::identity
