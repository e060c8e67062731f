#include "keles/audited_client.h"

#include <utility>

#include "machinery/codec_json.h"
#include "server/http/pieces.h"
#include "server/objects/meta.h"

namespace keles {
namespace {

using audit::Level;
using audit::Stage;
using EventPtr = std::unique_ptr<audit::Event>;

std::string text_of(const KindDesc& kind, const Value& tree) {
  std::string out;
  if (kind.owner) {
    write_json(out, tree);
  } else {
    write_json(out, kind, tree);
  }
  return out;
}

audit::Json one(std::string text) {
  audit::Json out;
  out.push_back(std::make_shared<const std::string>(std::move(text)));
  return out;
}

constexpr Duration kRecordWithin = 10s;
// A larger list is not kept for the event.
constexpr size_t kMostKept = 32u << 20;

// As it would have been sent.
std::string options_text(const DeleteOptions& o) {
  Document d;
  d.root = Value::map();
  registry::set_text(d, d.root, "kind", "DeleteOptions");
  registry::set_text(d, d.root, "apiVersion", "v1");
  if (o.grace_period_seconds) {
    d.root.set(d.arena, "gracePeriodSeconds", *o.grace_period_seconds);
  }
  if (!o.uid.empty() || !o.resource_version.empty()) {
    Value& only = registry::edit_map(d, d.root, "preconditions");
    if (!o.uid.empty()) registry::set_text(d, only, "uid", o.uid);
    if (!o.resource_version.empty()) {
      registry::set_text(d, only, "resourceVersion", o.resource_version);
    }
  }
  if (!o.propagation_policy.empty()) {
    registry::set_text(d, d.root, "propagationPolicy", o.propagation_policy);
  }
  return to_json(d.root);
}

// A watch ends for the audit when its end has been told.
class AuditedWatch final : public Watch {
 public:
  AuditedWatch(std::unique_ptr<Watch> inner, const audit::Auditor* auditor, EventPtr event)
      : inner_(std::move(inner)), auditor_(auditor), event_(std::move(event)) {}

  Task<Result<WatchEvent>> next(Context ctx) override {
    auto got = co_await inner_->next(ctx);
    if (got.ok() || !event_) co_return got;
    const EventPtr event = std::move(event_);
    Context own = Context::root(ctx.loop());
    (void)co_await auditor_->record(own.with_timeout(kRecordWithin), event.get(),
                                    Stage::kResponseComplete);
    co_return got;
  }

 private:
  std::unique_ptr<Watch> inner_;
  const audit::Auditor* auditor_;
  EventPtr event_;
};

class AuditedClient final : public Client {
 public:
  AuditedClient(MakeClient make, const audit::Auditor* auditor, Caller caller)
      : make_(std::move(make)),
        inner_(make_(nullptr)),
        auditor_(auditor),
        who_(std::make_shared<const Caller>(std::move(caller))) {}

  Loop& loop() override { return inner_->loop(); }
  CatalogSource& kinds() override { return inner_->kinds(); }

  Task<Result<ObjectPtr>> get(Context ctx, const KindDesc* kind, std::string ns,
                              std::string name) override {
    EventPtr event = begin("get", *kind, ns, name, "");
    bool fine = co_await came(ctx, event.get());
    if (!fine) co_return not_recorded();
    auto done = co_await inner_->get(ctx, kind, std::move(ns), std::move(name));
    co_await ended(ctx, event.get(), done);
    co_return done;
  }

  Task<Result<ListResult>> list(Context ctx, const KindDesc* kind, std::string ns,
                                ListOptions options) override {
    EventPtr event = begin("list", *kind, ns, "", "");
    bool fine = co_await came(ctx, event.get());
    if (!fine) co_return not_recorded();
    auto done = co_await inner_->list(ctx, kind, std::move(ns), std::move(options));
    if (event && done.ok() && event->how.level >= Level::kRequestResponse) {
      co_await keep_list(event.get(), kind, &*done);
    }
    co_await ended(ctx, event.get(), done.status());
    co_return done;
  }

  Task<Result<std::unique_ptr<Watch>>> watch(Context ctx, const KindDesc* kind, std::string ns,
                                             WatchOptions options) override {
    EventPtr event = begin("watch", *kind, ns, "", "");
    bool fine = co_await came(ctx, event.get());
    if (!fine) co_return not_recorded();
    auto done = co_await inner_->watch(ctx, kind, std::move(ns), std::move(options));
    if (!event) co_return done;
    if (!done.ok()) {
      co_await ended(ctx, event.get(), done.status());
      co_return done;
    }
    event->code = 200;
    (void)co_await auditor_->record(ctx, event.get(), Stage::kResponseStarted);
    co_return std::unique_ptr<Watch>(
        std::make_unique<AuditedWatch>(std::move(*done), auditor_, std::move(event)));
  }

  Task<Result<ObjectPtr>> create(Context ctx, const KindDesc* kind, std::string ns,
                                 std::string name, Document body, WriteOptions options) override {
    EventPtr event = begin("create", *kind, ns, name, options.subresource);
    bool fine = co_await came(ctx, event.get());
    if (!fine) co_return not_recorded();
    sent(event.get(), *kind, options.subresource, body);
    const std::unique_ptr<Client> own = noting(event.get());
    Client& to = own ? *own : *inner_;
    auto done = co_await to.create(ctx, kind, std::move(ns), std::move(name), std::move(body),
                                   std::move(options));
    if (event) event->code = 201;
    co_await ended(ctx, event.get(), done);
    co_return done;
  }

  Task<Result<ObjectPtr>> update(Context ctx, const KindDesc* kind, std::string ns,
                                 std::string name, Document body, WriteOptions options) override {
    EventPtr event = begin("update", *kind, ns, name, options.subresource);
    bool fine = co_await came(ctx, event.get());
    if (!fine) co_return not_recorded();
    sent(event.get(), *kind, options.subresource, body);
    const std::unique_ptr<Client> own = noting(event.get());
    Client& to = own ? *own : *inner_;
    auto done = co_await to.update(ctx, kind, std::move(ns), std::move(name), std::move(body),
                                   std::move(options));
    co_await ended(ctx, event.get(), done);
    co_return done;
  }

  Task<Result<ObjectPtr>> patch(Context ctx, const KindDesc* kind, std::string ns, std::string name,
                                PatchType type, Document body, WriteOptions options) override {
    EventPtr event = begin("patch", *kind, ns, name, options.subresource);
    bool fine = co_await came(ctx, event.get());
    if (!fine) co_return not_recorded();
    if (event && event->how.level >= Level::kRequest) event->request = one(to_json(body.root));
    const std::unique_ptr<Client> own = noting(event.get());
    Client& to = own ? *own : *inner_;
    auto done = co_await to.patch(ctx, kind, std::move(ns), std::move(name), type, std::move(body),
                                  std::move(options));
    co_await ended(ctx, event.get(), done);
    co_return done;
  }

  Task<Result<ObjectPtr>> remove(Context ctx, const KindDesc* kind, std::string ns,
                                 std::string name, DeleteOptions options) override {
    EventPtr event = begin("delete", *kind, ns, name, "");
    bool fine = co_await came(ctx, event.get());
    if (!fine) co_return not_recorded();
    if (event && event->how.level >= Level::kRequest) event->request = one(options_text(options));
    const std::unique_ptr<Client> own = noting(event.get());
    Client& to = own ? *own : *inner_;
    auto done = co_await to.remove(ctx, kind, std::move(ns), std::move(name), std::move(options));
    co_await ended(ctx, event.get(), done);
    co_return done;
  }

 private:
  static Status not_recorded() { return Status::internal("failed to store audit event"); }

  // Null when the policy has it not recorded.
  EventPtr begin(const char* verb, const KindDesc& kind, const std::string& ns,
                 const std::string& name, const std::string& subresource) {
    audit::Question q;
    q.user = who_->name;
    q.groups = &who_->groups;
    q.verb = verb;
    q.is_resource = true;
    q.group = kind.group;
    q.resource = kind.plural;
    q.subresource = subresource;
    // A namespace lies in itself.
    const bool is_namespace = kind.group.empty() && kind.kind == "Namespace";
    q.ns = is_namespace ? name : ns;
    q.name = name;
    EventPtr event = auditor_->begin(q);
    if (!event) return event;
    const std::string path = path_of(kind, ns, name, subresource);
    event->id = loop().random().uuid();
    event->uri = path;
    event->verb = verb;
    event->user = who_;
    event->user_agent = who_->name.substr(who_->name.rfind(':') + 1) + " (in-process)";
    event->received = loop().wall_now();
    event->has_object = true;
    event->object.resource = kind.plural;
    event->object.ns = q.ns;
    event->object.name = name;
    event->object.group = kind.group;
    event->object.version = kind.version;
    event->object.subresource = subresource;
    event->annotations.emplace_back("authorization.k8s.io/decision", "allow");
    event->annotations.emplace_back("authorization.k8s.io/reason", "");
    return event;
  }

  // As the request would have been sent.
  static std::string path_of(const KindDesc& kind, const std::string& ns, const std::string& name,
                             const std::string& subresource) {
    std::string out = kind.group.empty() ? "/api/" : "/apis/" + std::string(kind.group) + "/";
    out += kind.version;
    if (!ns.empty()) out += "/namespaces/" + ns;
    out += "/" + std::string(kind.plural);
    if (!name.empty()) out += "/" + name;
    if (!subresource.empty()) out += "/" + subresource;
    return out;
  }

  static void sent(audit::Event* event, const KindDesc& kind, const std::string& subresource,
                   const Document& body) {
    if (!event || event->how.level < Level::kRequest) return;
    event->request = one(subresource.empty() || subresource == "status" ? text_of(kind, body.root)
                                                                        : to_json(body.root));
  }

  Task<bool> came(Context ctx, audit::Event* event) {
    if (!event) co_return true;
    co_return co_await auditor_->record(ctx, event, Stage::kRequestReceived);
  }

  Task<void> ended(Context ctx, audit::Event* event, Status status) {
    if (!event) co_return;
    if (status.ok()) {
      if (event->code == 0) event->code = 200;
    } else {
      event->code = status.code();
      event->status = audit::status_members(status);
    }
    Context own = Context::root(ctx.loop());  // the caller's may have ended
    (void)co_await auditor_->record(own.with_timeout(kRecordWithin), event,
                                    Stage::kResponseComplete);
  }
  Task<void> ended(Context ctx, audit::Event* event, const Result<ObjectPtr>& done) {
    if (event && done.ok() && *done) {
      if (event->object.name.empty()) event->object.name = (*done)->name();
      event->object.uid = (*done)->uid();
      if (event->how.level >= Level::kRequestResponse) {
        const DocumentPtr tree = (*done)->tree();
        event->response = one(text_of((*done)->kind(), tree->root));
        if (event->how.omit_managed_fields) {
          event->response = one(audit::without_managed_fields(event->response));
        }
      }
    }
    return ended(std::move(ctx), event, done.status());
  }

  // Of a write that is audited, its own; otherwise null.
  std::unique_ptr<Client> noting(audit::Event* event) const {
    return event ? make_(&event->annotations) : nullptr;
  }

  Task<void> keep_list(audit::Event* event, const KindDesc* kind, const ListResult* list) {
    registry::ListPage page;
    page.items = list->items;
    page.revision = std::strtoll(list->resource_version.c_str(), nullptr, 10);
    page.continue_ = list->continue_;
    server::Rendering form;
    form.accepted.format = server::Format::kJson;
    server::ListPieces pieces(*kind, std::move(page), form);
    audit::Json all;
    size_t bytes = 0;
    while (!pieces.done() && bytes <= kMostKept) {
      server::Parts more = pieces.next();
      for (server::Part& p : more) {
        bytes += p->size();
        all.push_back(std::move(p));
      }
      co_await yield_to(loop());
    }
    if (bytes > kMostKept) {
      event->annotations.emplace_back("audit.k8s.io/truncated", "true");
    } else if (event->how.omit_managed_fields) {
      event->response = one(audit::without_managed_fields(all));
    } else {
      event->response = std::move(all);
    }
  }

  MakeClient make_;
  std::unique_ptr<Client> inner_;
  const audit::Auditor* auditor_;
  CallerPtr who_;
};

}  // namespace

std::unique_ptr<Client> make_audited_client(MakeClient make, const audit::Auditor* auditor,
                                            Caller caller) {
  return std::make_unique<AuditedClient>(std::move(make), auditor, std::move(caller));
}

}  // namespace keles
