#include "server/http/auditing.h"

#include <utility>

#include "base/ascii.h"
#include "machinery/codec_json.h"
#include "machinery/decode.h"
#include "machinery/status_codec.h"
#include "server/http/encode.h"
#include "server/http/pieces.h"

namespace keles::server {

audit::Question audit_question(const RequestInfo& i, const Caller& caller) {
  audit::Question q;
  q.user = caller.name;
  q.groups = &caller.groups;
  q.verb = i.verb;
  q.is_resource = i.is_resource;
  q.group = i.group;
  q.resource = i.resource;
  q.subresource = i.subresource;
  q.ns = i.ns;
  q.name = i.name;
  q.path = i.path;
  // A namespace lies in itself.
  if (i.resource == "namespaces" && i.ns.empty()) q.ns = i.name;
  return q;
}

void name_object(audit::Event* event, const RequestInfo& i, const audit::Question& q) {
  if (!i.is_resource) return;
  event->has_object = true;
  event->object.resource = i.resource;
  event->object.ns = q.ns;
  event->object.name = i.name;
  event->object.group = i.group;
  event->object.version = i.version;
  event->object.subresource = i.subresource;
}

namespace {

audit::Question question(const Exchange& x) { return audit_question(x.info, x.caller()); }

void describe(Exchange* x) {
  audit::Event& e = *x->audit;
  const RequestInfo& i = x->info;
  e.id = x->audit_id;
  e.uri = x->request->path;
  if (!x->request->query.empty()) e.uri += "?" + x->request->query;
  const audit::Question q = question(*x);
  e.verb = i.is_resource ? q.verb : ascii_lower(q.verb);
  e.user_agent = audit::shown_user_agent(x->header("User-Agent"));
  e.source_ips = audit::source_ips(x->header("X-Forwarded-For"), x->header("X-Real-Ip"),
                                   x->request->remote_address);
  e.user = x->who;
  e.received = x->rendering.now;
  name_object(&e, i, q);
}

audit::Json kept(const Exchange& x, audit::Json json) {
  if (!x.audit->how.omit_managed_fields) return json;
  return audit::one_piece(audit::without_managed_fields(json));
}

bool at_least(const Exchange& x, audit::Level level) {
  return x.audit != nullptr && x.audit->how.level >= level;
}

// The form of what is recorded: JSON of the shape that the client asked for.
Rendering recorded(const Exchange& x) {
  Rendering r = x.rendering;
  r.accepted.format = Format::kJson;
  r.pretty = false;
  return r;
}

void fill(std::string& into, std::string_view text) {
  if (into.empty()) into = text;
}

}  // namespace

void name_request(const audit::Auditor* auditor, Exchange* x, Random& random) {
  x->audit_id = x->header("Audit-ID");
  if (x->audit_id.empty() && auditor) x->audit_id = random.uuid();
}

Task<bool> begin_audit(Context ctx, const audit::Auditor* auditor, Exchange* x) {
  if (!auditor) co_return true;
  const audit::Question asked = question(*x);
  x->audit = auditor->begin(asked);
  if (!x->audit) co_return true;
  x->auditor = auditor;
  describe(x);
  bool fine = co_await auditor->record(ctx, x->audit.get(), audit::Stage::kRequestReceived);
  if (fine) co_return true;
  Status why = Status::internal("failed to store audit event");
  co_await x->fail(why);
  co_return false;
}

namespace {

// Answers a request of nobody, which is recorded with `members` as its status.
Task<void> fail_and_record(Context ctx, const audit::Auditor* auditor, Exchange* x, Status why,
                           std::string members) {
  if (auditor) x->audit = auditor->begin(question(*x));
  if (x->audit) describe(x);
  std::unique_ptr<audit::Event> event = std::move(x->audit);  // the answer is not its own
  co_await x->fail(why);
  if (!event) co_return;
  event->status = std::move(members);
  event->code = x->code;
  bool taken = co_await auditor->record(ctx, event.get(), audit::Stage::kResponseStarted);
  (void)taken;
}

}  // namespace

Task<void> audit_unauthenticated(Context ctx, const audit::Auditor* auditor, Exchange* x,
                                 Status why) {
  const bool access_token = x->query.find("access_token") != nullptr;
  std::string members = "\"metadata\":{},\"message\":";
  write_json_string(
      members, audit::failed_authentication(x->header("Authorization"), x->request->peer != nullptr,
                                            access_token));
  return fail_and_record(std::move(ctx), auditor, x, std::move(why), std::move(members));
}

Task<void> audit_malformed(Context ctx, const audit::Auditor* auditor, Exchange* x, Status why) {
  std::string members = audit::status_members(why);
  return fail_and_record(std::move(ctx), auditor, x, std::move(why), std::move(members));
}

void audit_impersonation(Exchange* x) {
  if (!x->audit) return;
  x->audit->impersonated = x->who;
  x->audit->constraint = x->impersonation_constraint;
}

void audit_decision(Exchange* x, const auth::Decision& decision) {
  if (!x->audit) return;
  x->audit->annotations.emplace_back("authorization.k8s.io/decision",
                                     decision.allowed ? "allow" : "forbid");
  x->audit->annotations.emplace_back("authorization.k8s.io/reason", decision.reason);
}

bool audits_response(const Exchange& x) { return at_least(x, audit::Level::kRequestResponse); }

void audit_request(Exchange* x, const KindDesc& kind, const Document& object, bool defaults) {
  if (!x->audit) return;
  const Value& meta = object.root["metadata"];
  audit::ObjectReference& o = x->audit->object;
  fill(o.ns, meta["namespace"].as_string());
  fill(o.name, meta["name"].as_string());
  fill(o.uid, meta["uid"].as_string());
  fill(o.resource_version, meta["resourceVersion"].as_string());
  if (!at_least(*x, audit::Level::kRequest)) return;
  std::string text;
  if (defaults) {
    Document whole = object.clone();
    apply_defaults(kind, whole);
    write_json(text, kind, whole.root);
  } else {
    write_json(text, kind, object.root);
  }
  x->audit->request = kept(*x, audit::one_piece(std::move(text)));
}

void audit_patch(Exchange* x, const Document& patch) {
  if (at_least(*x, audit::Level::kRequest))
    x->audit->request = audit::one_piece(to_json(patch.root));
}

void audit_answer(Exchange* x, const ObjectPtr& object) {
  if (audits_response(*x)) x->audit->response = kept(*x, render_object(object, recorded(*x)));
}

Task<void> audit_list(Context ctx, Exchange* x, registry::ListPage page) {
  ListPieces pieces(*x->kind, std::move(page), recorded(*x));
  audit::Json all;
  size_t bytes = 0;
  while (!pieces.done() && bytes <= audit::kMostKept) {
    Parts more;
    Status s = co_await x->next_piece(ctx, &pieces, &more);
    if (!s.ok()) co_return;
    for (Part& p : more) {
      bytes += p->size();
      all.push_back(std::move(p));
    }
  }
  if (bytes > audit::kMostKept) {
    x->audit->annotations.emplace_back("audit.k8s.io/truncated", "true");
  } else {
    x->audit->response = kept(*x, std::move(all));
  }
}

void audit_status(Exchange* x, const Status& failure) {
  if (!x->audit) return;
  x->audit->status = audit::status_members(failure);
  if (audits_response(*x)) x->audit->response = audit::one_piece(status_to_json(failure));
}

void audit_success(Exchange* x, const KindDesc& kind, const Value& status) {
  if (!x->audit) return;
  Document copy;
  copy.root = deep_copy(copy.arena, status);
  for (const char* key : {"kind", "apiVersion", "code"}) copy.root.erase(key);
  const std::string members = to_json(copy.root);
  x->audit->status = members.substr(1, members.size() - 2);
  if (!audits_response(*x)) return;
  std::string text;
  write_json(text, kind, status);
  x->audit->response = audit::one_piece(std::move(text));
}

Task<void> audit_started(Context ctx, Exchange* x) {
  if (!x->audit || x->audit_begun || !x->lasting) co_return;
  x->audit_begun = true;
  x->audit->code = x->code;
  bool taken = co_await x->auditor->record(ctx, x->audit.get(), audit::Stage::kResponseStarted);
  (void)taken;
}

Task<void> end_audit(Context ctx, Exchange* x) {
  if (!x->audit) co_return;
  if (x->code == 0) {
    x->code = 200;
    x->audit->status = R"("metadata":{},"status":"Success","message":"Connection closed early")";
  }
  co_await audit_started(ctx, x);
  x->audit->code = x->code;
  bool taken = co_await x->auditor->record(ctx, x->audit.get(), audit::Stage::kResponseComplete);
  (void)taken;
}

}  // namespace keles::server
