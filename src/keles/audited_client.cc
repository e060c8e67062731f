#include "keles/audited_client.h"

#include <utility>

#include "keles/audited_component.h"
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
  AuditedWatch(std::unique_ptr<Watch> inner, AuditedComponent as, EventPtr event)
      : inner_(std::move(inner)), as_(std::move(as)), event_(std::move(event)) {}

  Task<Result<WatchEvent>> next(Context ctx) override {
    auto got = co_await inner_->next(ctx);
    if (got.ok() || !event_) co_return got;
    const EventPtr event = std::move(event_);
    const Status told;  // that it ends is no failure of the request
    co_await as_.ended(ctx, event.get(), told);
    co_return got;
  }

 private:
  std::unique_ptr<Watch> inner_;
  AuditedComponent as_;
  EventPtr event_;
};

class AuditedClient final : public Client {
 public:
  AuditedClient(MakeClient make, const audit::Auditor* auditor, Caller caller)
      : make_(std::move(make)), inner_(make_(nullptr)), as_(auditor, std::move(caller)) {}

  Loop& loop() override { return inner_->loop(); }
  CatalogSource& kinds() override { return inner_->kinds(); }

  Task<Result<ObjectPtr>> get(Context ctx, const KindDesc* kind, std::string ns,
                              std::string name) override {
    EventPtr event = begin("get", *kind, ns, name, "");
    TRY_CO(as_.came(ctx, event.get()));
    auto done = co_await inner_->get(ctx, kind, std::move(ns), std::move(name));
    co_await ended(ctx, event.get(), done);
    co_return done;
  }

  Task<Result<ListResult>> list(Context ctx, const KindDesc* kind, std::string ns,
                                ListOptions options) override {
    EventPtr event = begin("list", *kind, ns, "", "");
    TRY_CO(as_.came(ctx, event.get()));
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
    TRY_CO(as_.came(ctx, event.get()));
    auto done = co_await inner_->watch(ctx, kind, std::move(ns), std::move(options));
    if (!event) co_return done;
    if (!done.ok()) {
      co_await ended(ctx, event.get(), done.status());
      co_return done;
    }
    event->code = 200;
    (void)co_await as_.auditor()->record(ctx, event.get(), Stage::kResponseStarted);
    co_return std::unique_ptr<Watch>(
        std::make_unique<AuditedWatch>(std::move(*done), as_, std::move(event)));
  }

  Task<Result<ObjectPtr>> create(Context ctx, const KindDesc* kind, std::string ns,
                                 std::string name, Document body, WriteOptions options) override {
    EventPtr event = begin("create", *kind, ns, name, options.subresource);
    TRY_CO(as_.came(ctx, event.get()));
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
    TRY_CO(as_.came(ctx, event.get()));
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
    TRY_CO(as_.came(ctx, event.get()));
    if (event && event->how.level >= Level::kRequest)
      event->request = audit::one_piece(to_json(body.root));
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
    TRY_CO(as_.came(ctx, event.get()));
    if (event && event->how.level >= Level::kRequest)
      event->request = audit::one_piece(options_text(options));
    const std::unique_ptr<Client> own = noting(event.get());
    Client& to = own ? *own : *inner_;
    auto done = co_await to.remove(ctx, kind, std::move(ns), std::move(name), std::move(options));
    co_await ended(ctx, event.get(), done);
    co_return done;
  }

 private:
  // Null when the policy has it not recorded.
  EventPtr begin(const char* verb, const KindDesc& kind, const std::string& ns,
                 const std::string& name, const std::string& subresource) {
    server::RequestInfo request;
    request.is_resource = true;
    request.verb = verb;
    request.group = kind.group;
    request.version = kind.version;
    request.resource = kind.plural;
    request.subresource = subresource;
    request.ns = ns;
    request.name = name;
    return as_.begin(loop(), request, path_of(kind, ns, name, subresource));
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
    event->request =
        audit::one_piece(subresource.empty() || subresource == "status" ? text_of(kind, body.root)
                                                                        : to_json(body.root));
  }

  Task<void> ended(Context ctx, audit::Event* event, Status status) {
    return as_.ended(std::move(ctx), event, std::move(status));
  }
  Task<void> ended(Context ctx, audit::Event* event, const Result<ObjectPtr>& done) {
    if (event && done.ok() && *done) {
      if (event->object.name.empty()) event->object.name = (*done)->name();
      event->object.uid = (*done)->uid();
      if (event->how.level >= Level::kRequestResponse) {
        const DocumentPtr tree = (*done)->tree();
        event->response = audit::one_piece(text_of((*done)->kind(), tree->root));
        if (event->how.omit_managed_fields) {
          event->response = audit::one_piece(audit::without_managed_fields(event->response));
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
    while (!pieces.done() && bytes <= audit::kMostKept) {
      server::Parts more = pieces.next();
      for (server::Part& p : more) {
        bytes += p->size();
        all.push_back(std::move(p));
      }
      co_await yield_to(loop());
    }
    if (bytes > audit::kMostKept) {
      event->annotations.emplace_back("audit.k8s.io/truncated", "true");
    } else if (event->how.omit_managed_fields) {
      event->response = audit::one_piece(audit::without_managed_fields(all));
    } else {
      event->response = std::move(all);
    }
  }

  MakeClient make_;
  std::unique_ptr<Client> inner_;
  AuditedComponent as_;
};

}  // namespace

std::unique_ptr<Client> make_audited_client(MakeClient make, const audit::Auditor* auditor,
                                            Caller caller) {
  return std::make_unique<AuditedClient>(std::move(make), auditor, std::move(caller));
}

}  // namespace keles
