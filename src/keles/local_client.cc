#include "keles/local_client.h"

#include <deque>

#include "machinery/decode.h"

namespace keles {
namespace {

using registry::WatchItem;

class LocalWatch final : public Watch {
 public:
  LocalWatch(std::unique_ptr<registry::WatchStream> stream, std::optional<TimePoint> end)
      : stream_(std::move(stream)), end_(end) {}

  Task<Result<WatchEvent>> next(Context ctx) override {
    if (ready_.empty()) {
      Context wait = end_ ? ctx.with_deadline(*end_) : ctx;
      auto got = co_await stream_->next(wait, 256);
      if (!got.ok()) {
        if (ctx.done()) co_return ctx.status();
        co_return Status::cancelled("the watch has reached its timeout");
      }
      for (WatchItem& i : *got) ready_.push_back(std::move(i));
    }
    WatchItem item = std::move(ready_.front());
    ready_.pop_front();
    if (item.type == WatchItem::Type::kError) co_return item.error;
    WatchEvent e;
    e.type = item.type == WatchItem::Type::kAdded      ? WatchEvent::Type::kAdded
             : item.type == WatchItem::Type::kModified ? WatchEvent::Type::kModified
             : item.type == WatchItem::Type::kDeleted  ? WatchEvent::Type::kDeleted
                                                       : WatchEvent::Type::kBookmark;
    e.object = std::move(item.object);
    e.revision = item.revision;
    co_return e;
  }

 private:
  std::unique_ptr<registry::WatchStream> stream_;
  std::optional<TimePoint> end_;
  std::deque<WatchItem> ready_;
};

class LocalClient final : public Client {
 public:
  LocalClient(ApiServer& server, Loop& loop, Caller caller,
              admission::AuditAnnotations* annotations)
      : server_(server), loop_(loop), caller_(std::move(caller)), annotations_(annotations) {
    free_pass_ = caller_.trusted;
    for (const std::string& g : caller_.groups) free_pass_ |= g == "system:masters";
  }

  Loop& loop() override { return loop_; }
  CatalogSource& kinds() override { return server_.kinds(); }

  Task<Result<ObjectPtr>> get(Context ctx, const KindDesc* kind, std::string ns,
                              std::string name) override {
    Status s = allowed("get", kind, ns, name, "");
    const KindRef held = resolve(kind, &s);
    if (!s.ok()) co_return s;
    kind = held.get();
    co_return co_await server_.get(ctx, kind, ns, name, "");
  }

  Task<Result<ListResult>> list(Context ctx, const KindDesc* kind, std::string ns,
                                ListOptions options) override {
    Status s = allowed("list", kind, ns, "", "", options.field_selector);
    const KindRef held = resolve(kind, &s);
    if (!s.ok()) co_return s;
    kind = held.get();
    registry::ListQuery q;
    q.label_selector = std::move(options.label_selector);
    q.field_selector = std::move(options.field_selector);
    q.resource_version = std::move(options.resource_version);
    q.resource_version_match = std::move(options.resource_version_match);
    q.continue_ = std::move(options.continue_);
    q.limit = options.limit;
    auto page = co_await server_.registry().list(ctx, kind, ns, std::move(q));
    if (!page.ok()) co_return page.status();
    ListResult out;
    out.items = std::move(page->items);
    out.resource_version = std::to_string(page->revision);
    out.continue_ = std::move(page->continue_);
    co_return out;
  }

  Task<Result<std::unique_ptr<Watch>>> watch(Context ctx, const KindDesc* kind, std::string ns,
                                             WatchOptions options) override {
    Status s = allowed("watch", kind, ns, "", "", options.field_selector);
    const KindRef held = resolve(kind, &s);
    if (!s.ok()) co_return s;
    kind = held.get();
    registry::WatchQuery q;
    q.label_selector = std::move(options.label_selector);
    q.field_selector = std::move(options.field_selector);
    q.resource_version = std::move(options.resource_version);
    q.bookmarks = options.allow_bookmarks;
    auto stream = co_await server_.registry().watch(ctx, kind, ns, std::move(q));
    if (!stream.ok()) co_return stream.status();
    std::optional<TimePoint> end;
    if (options.timeout_seconds > 0) {
      end = loop_.now() + std::chrono::seconds(options.timeout_seconds);
    }
    co_return std::unique_ptr<Watch>(std::make_unique<LocalWatch>(std::move(*stream), end));
  }

  Task<Result<ObjectPtr>> create(Context ctx, const KindDesc* kind, std::string ns,
                                 std::string name, Document body, WriteOptions options) override {
    Status s = allowed("create", kind, ns, name, options.subresource);
    const KindRef held = resolve(kind, &s);
    if (!s.ok()) co_return s;
    kind = held.get();
    s = tidy(kind, options, body);
    if (!s.ok()) co_return s;
    co_return co_await server_.create(ctx, &caller_, kind, ns, name, options.subresource,
                                      std::move(body), how(options));
  }

  Task<Result<ObjectPtr>> update(Context ctx, const KindDesc* kind, std::string ns,
                                 std::string name, Document body, WriteOptions options) override {
    Status s = allowed("update", kind, ns, name, options.subresource);
    const KindRef held = resolve(kind, &s);
    if (!s.ok()) co_return s;
    kind = held.get();
    s = tidy(kind, options, body);
    if (!s.ok()) co_return s;
    co_return co_await server_.update(ctx, &caller_, kind, ns, name, options.subresource,
                                      std::move(body), how(options));
  }

  Task<Result<ObjectPtr>> patch(Context ctx, const KindDesc* kind, std::string ns, std::string name,
                                PatchType type, Document body, WriteOptions options) override {
    Status s = allowed("patch", kind, ns, name, options.subresource);
    const KindRef held = resolve(kind, &s);
    if (!s.ok()) co_return s;
    kind = held.get();
    co_return co_await server_.patch(ctx, &caller_, kind, ns, name, options.subresource, type,
                                     std::move(body), how(options));
  }

  Task<Result<ObjectPtr>> remove(Context ctx, const KindDesc* kind, std::string ns,
                                 std::string name, DeleteOptions options) override {
    Status s = allowed("delete", kind, ns, name, "");
    const KindRef held = resolve(kind, &s);
    if (!s.ok()) co_return s;
    kind = held.get();
    registry::DeleteRequest request;
    request.grace_period_seconds = options.grace_period_seconds;
    request.propagation_policy = std::move(options.propagation_policy);
    request.uid = std::move(options.uid);
    request.resource_version = std::move(options.resource_version);
    WriteOptions plain;
    registry::WriteRequest w = how(plain);
    auto gone =
        co_await server_.remove(ctx, &caller_, kind, ns, name, std::move(request), std::move(w));
    if (!gone.ok()) co_return gone.status();
    co_return gone->object;
  }

 private:
  Status allowed(std::string verb, const KindDesc* kind, std::string ns, std::string name,
                 std::string subresource, const std::string& field_selector = "") {
    if (free_pass_) return {};
    Access access;
    access.verb = std::move(verb);
    access.group = kind->group;
    access.version = kind->version;
    access.resource = kind->plural;
    access.subresource = std::move(subresource);
    access.ns = std::move(ns);
    access.name = std::move(name);
    access.demand_of_list(field_selector);
    return server_.auth().authorize(caller_, access);
  }

  // A custom kind as the server describes it now, as it would be found by its path; `s` tells when
  // there is none.
  KindRef resolve(const KindDesc* kind, Status* s) {
    if (!kind->owner || !s->ok()) return KindRef(kind);
    KindRef now(server_.kinds().current()->find_resource(kind->group, kind->version, kind->plural));
    if (!now) *s = Status(Reason::kNotFound, "the server could not find the requested resource");
    return now;
  }

  // Brings quantities, times and the like that the caller wrote into their one form.
  static Status tidy(const KindDesc* kind, const WriteOptions& options, Document& body) {
    const KindDesc* of = ApiServer::body_kind(*kind, options.subresource);
    if (of && of->owner) return decode_object(*of, body, FieldValidation::kIgnore);
    return of ? normalize(*of->type, body) : Status();
  }

  // What a client of that name calls itself: upstream's components do so by their programs' names.
  std::string agent() const {
    std::string name = caller_.name.substr(caller_.name.rfind(':') + 1);
    return name == "apiserver" ? "kube-apiserver" : name;
  }

  registry::WriteRequest how(const WriteOptions& options) const {
    registry::WriteRequest w;
    w.user = caller_.name;
    w.groups = caller_.groups;
    w.uid = caller_.uid;
    w.extra = caller_.extra;
    w.dry_run = options.dry_run;
    w.force = options.force;
    w.annotations = annotations_;
    w.field_manager = options.field_manager.empty() ? agent() : options.field_manager;
    return w;
  }

  ApiServer& server_;
  Loop& loop_;
  Caller caller_;
  admission::AuditAnnotations* annotations_;
  bool free_pass_ = false;
};

}  // namespace

std::unique_ptr<Client> make_local_client(ApiServer& server, Loop& loop, Caller caller,
                                          admission::AuditAnnotations* annotations) {
  return std::make_unique<LocalClient>(server, loop, std::move(caller), annotations);
}

std::unique_ptr<Client> make_local_client(ApiServer& server, Loop& loop, std::string name,
                                          admission::AuditAnnotations* annotations) {
  Caller caller;
  caller.name = std::move(name);
  caller.trusted = true;
  return std::make_unique<LocalClient>(server, loop, std::move(caller), annotations);
}

}  // namespace keles
