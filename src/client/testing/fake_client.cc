#include "client/testing/fake_client.h"

#include <algorithm>
#include <charconv>

#include "base/log.h"
#include "base/sync.h"
#include "machinery/codec_yaml.h"
#include "machinery/fields.h"
#include "machinery/labels.h"
#include "machinery/time.h"

namespace keles {

namespace {

std::string key_of(std::string_view ns, std::string_view name) {
  return ns.empty() ? std::string(name) : std::string(ns) + "/" + std::string(name);
}

int64_t number(std::string_view s) {
  int64_t v = 0;
  std::from_chars(s.data(), s.data() + s.size(), v);
  return v;
}

void set_text(Document& doc, Value& map, std::string_view key, std::string_view text) {
  map.set(doc.arena, key, Value::string(doc.arena.copy(text)));
}

Value& meta_of(Document& doc) {
  Value& m = doc.root.get_or_add(doc.arena, "metadata");
  if (!m.is_map()) m = Value::map();
  return m;
}

struct Selection {
  Selector labels;
  FieldSelector fields;
  static Result<Selection> parse(const std::string& labels, const std::string& fields) {
    Selection s;
    TRY_ASSIGN(l, Selector::parse(labels));
    TRY_ASSIGN(f, FieldSelector::parse(fields));
    s.labels = std::move(l);
    s.fields = std::move(f);
    return s;
  }
  bool matches(const ObjectPtr& o) const {
    if (labels.is_everything() && fields.empty()) return true;
    DocumentPtr tree = o->tree();
    return labels.matches(tree->root["metadata"]["labels"]) &&
           fields.matches(o->kind(), tree->root);
  }
};

bool has_text(const Value& list, std::string_view text) {
  for (const Value& v : list.items()) {
    if (v.as_string() == text) return true;
  }
  return false;
}

}  // namespace

std::string FakeCall::to_string() const {
  std::string s = verb + " " + resource;
  if (!ns.empty() || !name.empty()) s += " " + key_of(ns, name);
  return s;
}

class FakeClient::WatchImpl final : public Watch {
 public:
  WatchImpl(FakeClient* owner, const KindDesc* kind, std::string ns, Selection selection,
            bool bookmarks)
      : owner_(owner),
        kind_(kind),
        ns_(std::move(ns)),
        selection_(std::move(selection)),
        bookmarks_(bookmarks) {
    owner_->watches_.push_back(this);
  }
  ~WatchImpl() override {
    if (owner_) std::erase(owner_->watches_, this);
  }
  void offer(const FakeClient::Event& e) {
    if (&e.object->kind() != kind_) return;
    if (!ns_.empty() && e.object->namespace_() != ns_) return;
    bool before = e.before && matches(e.before);
    bool now = e.type != WatchEvent::Type::kDeleted && matches(e.object);
    if (!before && !now) return;
    WatchEvent w{.type = WatchEvent::Type::kModified, .object = e.object, .revision = e.revision};
    if (!before) w.type = WatchEvent::Type::kAdded;
    if (!now) w.type = WatchEvent::Type::kDeleted;
    push(std::move(w));
  }
  void push(WatchEvent e) {
    pending_.push_back(std::move(e));
    waiting_.wake_one();
  }
  void bookmark(int64_t revision) {
    if (bookmarks_) {
      push({.type = WatchEvent::Type::kBookmark, .object = nullptr, .revision = revision});
    }
  }
  void end(Status why) {
    if (!ended_) end_why_ = std::move(why);
    ended_ = true;
    owner_ = nullptr;
    waiting_.wake_all();
  }
  bool matches(const ObjectPtr& o) const { return selection_.matches(o); }
  Task<Result<WatchEvent>> next(Context ctx) override {
    while (pending_.empty()) {
      if (ended_) co_return end_why_;
      TRY_CO(waiting_.wait(ctx));
    }
    WatchEvent e = std::move(pending_.front());
    pending_.pop_front();
    co_return std::move(e);
  }

 private:
  FakeClient* owner_;
  const KindDesc* kind_;
  std::string ns_;
  Selection selection_;
  bool bookmarks_;
  std::deque<WatchEvent> pending_;
  WaitList waiting_;
  bool ended_ = false;
  Status end_why_;
};

FakeClient::FakeClient(Loop& loop) : loop_(loop) {}

FakeClient::~FakeClient() { break_watches(Status::cancelled("the server has stopped")); }

std::string FakeClient::timestamp() const { return format_time(loop_.wall_now()); }

Task<Status> FakeClient::begin(Context ctx, FakeCall* call, bool* lose) {
  if (latency_ > Duration::zero()) {
    TRY_CO(ctx.sleep(latency_));
  } else {
    co_await yield_to(loop_);
  }
  if (ctx.done()) co_return ctx.status();
  calls_.push_back(*call);
  for (auto it = faults_.begin(); it != faults_.end(); ++it) {
    if (it->verb != "*" && it->verb != call->verb) continue;
    if (it->resource != "*" && it->resource != call->resource) continue;
    Status s = it->status;
    bool after = it->after;
    if (--it->times == 0) faults_.erase(it);
    if (!after) co_return s;
    *lose = true;
    break;
  }
  co_return Status();
}

ObjectPtr FakeClient::find(const KindDesc& kind, std::string_view ns, std::string_view name) const {
  auto at = objects_.find(kind.group_resource());
  if (at == objects_.end()) return nullptr;
  auto it = at->second.find(key_of(kind.namespaced ? ns : std::string_view(), name));
  return it == at->second.end() ? nullptr : it->second;
}

void FakeClient::emit(Event e) {
  auto shared = std::make_shared<const Event>(std::move(e));
  events_.push_back(shared);
  for (WatchImpl* w : watches_) w->offer(*shared);
}

ObjectPtr FakeClient::store(const KindDesc& kind, Document doc, const ObjectPtr& before) {
  set_text(doc, doc.root, "apiVersion", kind.api_version());
  set_text(doc, doc.root, "kind", kind.kind);
  ++revision_;
  set_text(doc, meta_of(doc), "resourceVersion", std::to_string(revision_));
  ObjectPtr now = Object::from_document(kind, std::move(doc));
  objects_[std::string(kind.group_resource())][now->key()] = now;
  emit({.type = before ? WatchEvent::Type::kModified : WatchEvent::Type::kAdded,
        .object = now,
        .before = before,
        .revision = revision_});
  return now;
}

ObjectPtr FakeClient::erase(const ObjectPtr& before) {
  const KindDesc& kind = before->kind();
  objects_[std::string(kind.group_resource())].erase(before->key());
  Document doc = before->tree()->clone();
  ++revision_;
  set_text(doc, meta_of(doc), "resourceVersion", std::to_string(revision_));
  ObjectPtr last = Object::from_document(kind, std::move(doc));
  emit({.type = WatchEvent::Type::kDeleted,
        .object = last,
        .before = before,
        .revision = revision_});
  return last;
}

Result<ObjectPtr> FakeClient::do_create(const KindDesc& kind, const std::string& ns, Document body,
                                        std::string* made) {
  Value& meta = meta_of(body);
  if (meta["name"].as_string().empty()) {
    if (meta["generateName"].as_string().empty()) {
      return Status::invalid(
          kind.group, kind.kind, "",
          {{"FieldValueRequired", "Required value: name or generateName is required",
            "metadata.name"}});
    }
    set_text(body, meta, "name",
             std::string(meta["generateName"].as_string()) + loop_.random().suffix(5));
  }
  if (kind.namespaced && meta["namespace"].as_string().empty()) {
    if (ns.empty()) return Status::bad_request("namespace is required");
    set_text(body, meta, "namespace", ns);
  }
  *made = std::string(meta["name"].as_string());
  if (find(kind, meta["namespace"].as_string(), *made)) {
    return Status::already_exists(kind.group, kind.plural, *made);
  }
  if (kind.namespaced) {
    const KindDesc* namespaces = find_kind("", "v1", "Namespace");
    ObjectPtr home = namespaces ? find(*namespaces, "", meta["namespace"].as_string()) : nullptr;
    if (home && home->tree()->root["status"]["phase"].as_string() == "Terminating") {
      return Status::forbidden(kind.group, kind.plural, *made,
                               "unable to create new content in namespace " +
                                   std::string(meta["namespace"].as_string()) +
                                   " because it is being terminated");
    }
  }
  if (kind.subresource("status")) body.root.erase("status");
  if (kind.kind == "Pod") {
    Value& status = body.root.get_or_add(body.arena, "status");
    if (!status.is_map()) status = Value::map();
    set_text(body, status, "phase", "Pending");
  }
  Value& final_meta = meta_of(body);  // the root may have grown: the older reference is void
  set_text(body, final_meta, "uid", loop_.random().uuid());
  set_text(body, final_meta, "creationTimestamp", timestamp());
  if (kind.subresource("status")) final_meta.set(body.arena, "generation", Value(1));
  final_meta.erase("deletionTimestamp");
  return store(kind, std::move(body), nullptr);
}

Result<ObjectPtr> FakeClient::do_update(const KindDesc& kind, const std::string& ns,
                                        const std::string& name, Document body,
                                        const std::string& subresource) {
  ObjectPtr before = find(kind, ns, name);
  if (!before) return Status::not_found(kind.group, kind.plural, name);
  DocumentPtr old = before->tree();
  const Value& old_meta = old->root["metadata"];
  std::string_view asked = body.root["metadata"]["resourceVersion"].as_string();
  if (!asked.empty() && number(asked) != before->revision()) {
    return Status::conflict(kind.group, kind.plural, name,
                            "the object has been modified; please apply your changes to the "
                            "latest version and try again");
  }
  std::string_view uid = body.root["metadata"]["uid"].as_string();
  if (!uid.empty() && uid != before->uid()) {
    return Status::conflict(kind.group, kind.plural, name,
                            "Precondition failed: UID in precondition: " + std::string(uid) +
                                ", UID in object meta: " + std::string(before->uid()));
  }
  Document doc;
  if (subresource.empty()) {
    doc = std::move(body);
    if (kind.subresource("status")) {
      doc.root.erase("status");
      if (const Value* s = old->root.find("status")) {
        doc.root.set(doc.arena, "status", deep_copy(doc.arena, *s));
      }
    }
  } else {
    doc = old->clone();
    const Value* part = nullptr;
    if (subresource == "status" || subresource == "approval") {
      part = body.root.find("status");
      doc.root.set(doc.arena, "status", part ? deep_copy(doc.arena, *part) : Value::map());
      // As the server's rule has it.
      for (std::string_view with : {"labels", "annotations", "finalizers"}) {
        if (const Value* v = body.root["metadata"].find(with)) {
          meta_of(doc).set(doc.arena, with, deep_copy(doc.arena, *v));
        } else {
          meta_of(doc).erase(with);
        }
      }
    } else if (subresource == "finalize") {
      part = body.root.find("spec");
      doc.root.set(doc.arena, "spec", part ? deep_copy(doc.arena, *part) : Value::map());
    } else if (subresource == "scale") {
      doc.root.get_or_add(doc.arena, "spec")
          .set(doc.arena, "replicas", body.root["spec"]["replicas"]);
    } else {
      return Status::method_not_supported(kind.group, kind.plural, "update " + subresource);
    }
  }
  Value& meta = meta_of(doc);
  for (std::string_view fixed : {"uid", "creationTimestamp", "deletionTimestamp",
                                 "deletionGracePeriodSeconds", "generation", "namespace", "name"}) {
    const Value* v = old_meta.find(fixed);
    if (v) {
      meta.set(doc.arena, fixed, deep_copy(doc.arena, *v));
    } else {
      meta.erase(fixed);
    }
  }
  if (!old->root["spec"].equals(doc.root["spec"]) && old_meta.find("generation")) {
    meta.set(doc.arena, "generation", Value(old_meta["generation"].as_int() + 1));
  }
  set_text(doc, meta, "resourceVersion", std::to_string(before->revision()));
  set_text(doc, doc.root, "apiVersion", kind.api_version());
  set_text(doc, doc.root, "kind", kind.kind);
  if (doc.root.equals(old->root)) return before;  // nothing changes: nothing is written
  ObjectPtr now = store(kind, std::move(doc), before);
  DocumentPtr tree = now->tree();
  const Value& m = tree->root["metadata"];
  bool held = !m["finalizers"].empty() ||
              (kind.kind == "Namespace" && !tree->root["spec"]["finalizers"].empty()) ||
              m["deletionGracePeriodSeconds"].as_int() > 0;
  if (m.find("deletionTimestamp") && !held) erase(now);
  return now;
}

Result<ObjectPtr> FakeClient::do_remove(const KindDesc& kind, const std::string& ns,
                                        const std::string& name, const DeleteOptions& options) {
  ObjectPtr before = find(kind, ns, name);
  if (!before) return Status::not_found(kind.group, kind.plural, name);
  if ((!options.uid.empty() && options.uid != before->uid()) ||
      (!options.resource_version.empty() &&
       number(options.resource_version) != before->revision())) {
    return Status::conflict(kind.group, kind.plural, name, "Precondition failed");
  }
  Document doc = before->tree()->clone();
  Value& meta = meta_of(doc);
  int64_t grace = 0;
  if (kind.kind == "Pod" && !doc.root["spec"]["nodeName"].as_string().empty()) {
    const Value* own = doc.root["spec"].find("terminationGracePeriodSeconds");
    grace = options.grace_period_seconds.value_or(own ? own->as_int() : 30);
    std::string_view phase = doc.root["status"]["phase"].as_string();
    if (phase == "Succeeded" || phase == "Failed") grace = 0;
  }
  Value& finalizers = meta.get_or_add(doc.arena, "finalizers");
  if (!finalizers.is_list()) finalizers = Value::list();
  std::string_view wanted = options.propagation_policy == "Foreground" ? "foregroundDeletion"
                            : options.propagation_policy == "Orphan"   ? "orphan"
                                                                       : "";
  if (!wanted.empty() && !meta.find("deletionTimestamp") && !has_text(finalizers, wanted)) {
    finalizers.append(doc.arena, Value::string(wanted));
  }
  bool held = !finalizers.empty() || grace > 0 ||
              (kind.kind == "Namespace" && !doc.root["spec"]["finalizers"].empty());
  if (finalizers.empty()) meta.erase("finalizers");
  if (!held) return erase(before);
  bool again = meta.find("deletionTimestamp") != nullptr;
  if (!again) set_text(doc, meta, "deletionTimestamp", timestamp());
  if (kind.kind == "Pod") meta.set(doc.arena, "deletionGracePeriodSeconds", Value(grace));
  if (kind.kind == "Namespace") {
    Value& status = doc.root.get_or_add(doc.arena, "status");
    if (!status.is_map()) status = Value::map();
    set_text(doc, status, "phase", "Terminating");
  }
  if (doc.root.equals(before->tree()->root)) return before;
  return store(kind, std::move(doc), before);
}

Result<ObjectPtr> FakeClient::do_subresource_create(const KindDesc& kind, const std::string& ns,
                                                    const std::string& name, const Document& body,
                                                    const std::string& subresource) {
  ObjectPtr before = find(kind, ns, name);
  if (!before) return Status::not_found(kind.group, kind.plural, name);
  if (subresource == "eviction") {
    TRY_ASSIGN(gone, do_remove(kind, ns, name, {}));
    (void)gone;
    return ObjectPtr();
  }
  if (subresource != "binding") {
    return Status::method_not_supported(kind.group, kind.plural, "create " + subresource);
  }
  Document doc = before->tree()->clone();
  std::string node(body.root["target"]["name"].as_string());
  std::string_view bound = doc.root["spec"]["nodeName"].as_string();
  if (!bound.empty()) {
    return Status::conflict(
        kind.group, "pods/binding", name,
        "pod " + name + " is already assigned to node \"" + std::string(bound) + "\"");
  }
  if (meta_of(doc).find("deletionTimestamp")) {
    return Status::conflict(kind.group, "pods/binding", name,
                            "pod " + name + " is being deleted, cannot be assigned to a host");
  }
  set_text(doc, doc.root.get_or_add(doc.arena, "spec"), "nodeName", node);
  Value& conditions = doc.root.get_or_add(doc.arena, "status").get_or_add(doc.arena, "conditions");
  for (size_t i = 0; i < conditions.items().size(); ++i) {
    if (conditions.at(i)["type"].as_string() == "PodScheduled") conditions.erase_at(i--);
  }
  Value& c = conditions.append(doc.arena, Value::map());
  set_text(doc, c, "type", "PodScheduled");
  set_text(doc, c, "status", "True");
  set_text(doc, c, "lastTransitionTime", timestamp());
  store(kind, std::move(doc), before);
  return ObjectPtr();
}

namespace {

FakeCall describe(std::string verb, const KindDesc* kind, const std::string& ns,
                  const std::string& name, const Document* body = nullptr,
                  const std::string& subresource = {}) {
  FakeCall c;
  c.verb = std::move(verb);
  c.resource = std::string(kind->group_resource());
  if (!subresource.empty()) c.resource += "/" + subresource;
  c.ns = ns;
  c.name = name;
  if (body) c.body = std::make_shared<const Document>(body->clone());
  return c;
}

Result<ObjectPtr> answer(Result<ObjectPtr> r, bool lose) {
  if (lose) return Status(Reason::kOutcomeUnknown, "the connection was lost before the answer");
  return r;
}

}  // namespace

Task<Result<ObjectPtr>> FakeClient::get(Context ctx, const KindDesc* kind, std::string ns,
                                        std::string name) {
  FakeCall call = describe("get", kind, ns, name);
  bool lose = false;
  TRY_CO(begin(ctx, &call, &lose));
  ObjectPtr o = find(*kind, ns, name);
  if (!o) co_return Status::not_found(kind->group, kind->plural, name);
  co_return o;
}

Task<Result<ListResult>> FakeClient::list(Context ctx, const KindDesc* kind, std::string ns,
                                          ListOptions options) {
  FakeCall call = describe("list", kind, ns, "");
  bool lose = false;
  TRY_CO(begin(ctx, &call, &lose));
  if (number(options.resource_version) > revision_) {
    co_return Status(Reason::kTimeout, "Too large resource version: " + options.resource_version +
                                           ", current: " + std::to_string(revision_));
  }
  auto selection = Selection::parse(options.label_selector, options.field_selector);
  if (!selection.ok()) co_return selection.status();
  ListResult r;
  for (const ObjectPtr& o : all(*kind, ns)) {
    if (selection->matches(o)) r.items.push_back(o);
  }
  r.resource_version = std::to_string(revision_);
  co_return std::move(r);
}

Task<Result<std::unique_ptr<Watch>>> FakeClient::watch(Context ctx, const KindDesc* kind,
                                                       std::string ns, WatchOptions options) {
  FakeCall call = describe("watch", kind, ns, "");
  bool lose = false;
  TRY_CO(begin(ctx, &call, &lose));
  int64_t from = number(options.resource_version);
  if (from != 0 && from < compacted_) {
    co_return Status::expired("too old resource version: " + options.resource_version + " (" +
                              std::to_string(compacted_) + ")");
  }
  auto selection = Selection::parse(options.label_selector, options.field_selector);
  if (!selection.ok()) co_return selection.status();
  auto w =
      std::make_unique<WatchImpl>(this, kind, ns, std::move(*selection), options.allow_bookmarks);
  if (from == 0) {
    for (const ObjectPtr& o : all(*kind, ns)) {
      if (!w->matches(o)) continue;
      w->push({.type = WatchEvent::Type::kAdded, .object = o, .revision = o->revision()});
    }
  } else {
    for (const auto& e : events_) {
      if (e->revision > from) w->offer(*e);
    }
  }
  co_return std::unique_ptr<Watch>(std::move(w));
}

Task<Result<ObjectPtr>> FakeClient::create(Context ctx, const KindDesc* kind, std::string ns,
                                           std::string name, Document body, WriteOptions options) {
  FakeCall call =
      describe("create", kind, ns,
               name.empty() ? std::string(body.root["metadata"]["name"].as_string()) : name, &body,
               options.subresource);
  bool lose = false;
  TRY_CO(begin(ctx, &call, &lose));
  if (!options.subresource.empty()) {
    co_return answer(do_subresource_create(*kind, ns, name, body, options.subresource), lose);
  }
  if (answer_) {
    if (auto said = answer_(*kind, body.root)) {
      co_return answer(Object::from_document(*kind, std::move(*said)), lose);
    }
  }
  size_t index = calls_.size() - 1;
  std::string made;
  auto r = do_create(*kind, ns, std::move(body), &made);
  calls_[index].name = made;
  co_return answer(std::move(r), lose);
}

Task<Result<ObjectPtr>> FakeClient::update(Context ctx, const KindDesc* kind, std::string ns,
                                           std::string name, Document body, WriteOptions options) {
  FakeCall call = describe("update", kind, ns, name, &body, options.subresource);
  bool lose = false;
  TRY_CO(begin(ctx, &call, &lose));
  co_return answer(do_update(*kind, ns, name, std::move(body), options.subresource), lose);
}

Task<Result<ObjectPtr>> FakeClient::patch(Context ctx, const KindDesc* kind, std::string ns,
                                          std::string name, PatchType type, Document body,
                                          WriteOptions options) {
  FakeCall call = describe("patch", kind, ns, name, &body, options.subresource);
  bool lose = false;
  TRY_CO(begin(ctx, &call, &lose));
  ObjectPtr before = find(*kind, ns, name);
  if (!before) {
    if (type != PatchType::kApply) {
      co_return Status::not_found(kind->group, kind->plural, name);
    }
    std::string made;
    co_return answer(do_create(*kind, ns, std::move(body), &made), lose);
  }
  // The test client has no field ownership: an apply merges.
  PatchType how = type == PatchType::kApply ? PatchType::kStrategicMerge : type;
  DocumentPtr old = before->tree();
  auto applied = apply_patch(how, *kind->type, old->root, body.root);
  if (!applied.ok()) co_return applied.status();
  Document merged = std::move(*applied);
  if (body.root["metadata"]["resourceVersion"].is_null()) {
    meta_of(merged).erase("resourceVersion");
  }
  co_return answer(do_update(*kind, ns, name, std::move(merged), options.subresource), lose);
}

Task<Result<ObjectPtr>> FakeClient::remove(Context ctx, const KindDesc* kind, std::string ns,
                                           std::string name, DeleteOptions options) {
  FakeCall call = describe("delete", kind, ns, name);
  bool lose = false;
  TRY_CO(begin(ctx, &call, &lose));
  co_return answer(do_remove(*kind, ns, name, options), lose);
}

ObjectPtr FakeClient::put(Document body) {
  const KindDesc* kind =
      find_kind(body.root["apiVersion"].as_string(), body.root["kind"].as_string());
  if (!kind) {
    log::error("FakeClient::put: the body has no known apiVersion and kind");
    std::abort();
  }
  return put(*kind, std::move(body));
}

ObjectPtr FakeClient::put(const KindDesc& kind, Document body) {
  Value& meta = meta_of(body);
  ObjectPtr before = find(kind, meta["namespace"].as_string(), meta["name"].as_string());
  DocumentPtr old_tree = before ? before->tree() : nullptr;
  const Value& old = old_tree ? old_tree->root["metadata"] : Value::null();
  auto keep = [&](std::string_view field, std::string fresh) {
    if (!meta[field].as_string().empty()) return;
    set_text(body, meta, field, before ? std::string(old[field].as_string()) : fresh);
  };
  if (meta["name"].as_string().empty()) {
    set_text(body, meta, "name",
             std::string(meta["generateName"].as_string()) + loop_.random().suffix(5));
  }
  keep("uid", loop_.random().uuid());
  keep("creationTimestamp", timestamp());
  if (kind.subresource("status") && meta["generation"].is_null()) {
    int64_t g = old["generation"].as_int();
    bool changed = before && !old_tree->root["spec"].equals(body.root["spec"]);
    meta.set(body.arena, "generation", Value(before ? g + (changed ? 1 : 0) : 1));
  }
  return store(kind, std::move(body), before);
}

ObjectPtr FakeClient::put_yaml(std::string_view yaml) {
  auto doc = parse_yaml(yaml);
  if (!doc.ok()) {
    log::error("FakeClient::put_yaml", {{"err", doc.status()}});
    std::abort();
  }
  return put(std::move(*doc));
}

ObjectPtr FakeClient::now(const KindDesc& kind, std::string_view ns, std::string_view name) const {
  return find(kind, ns, name);
}

std::vector<ObjectPtr> FakeClient::all(const KindDesc& kind, std::string_view ns) const {
  std::vector<ObjectPtr> out;
  auto at = objects_.find(kind.group_resource());
  if (at == objects_.end()) return out;
  for (const auto& [key, o] : at->second) {
    if (ns.empty() || o->namespace_() == ns) out.push_back(o);
  }
  return out;
}

void FakeClient::drop(const KindDesc& kind, std::string_view ns, std::string_view name) {
  if (ObjectPtr o = find(kind, ns, name)) erase(o);
}

std::vector<std::string> FakeClient::writes() const {
  std::vector<std::string> out;
  for (const FakeCall& c : calls_) {
    if (c.verb != "get" && c.verb != "list" && c.verb != "watch") out.push_back(c.to_string());
  }
  return out;
}

void FakeClient::fail(std::string verb, std::string resource, Status status, int times) {
  faults_.push_back({std::move(verb), std::move(resource), std::move(status), times, false});
}

void FakeClient::lose_reply(std::string verb, std::string resource, int times) {
  faults_.push_back({std::move(verb), std::move(resource), Status(), times, true});
}

void FakeClient::break_watches(Status why) {
  for (WatchImpl* w : watches_) w->end(why);
  watches_.clear();
}

void FakeClient::compact() {
  compacted_ = revision_;
  events_.clear();
}

void FakeClient::send_bookmarks() {
  for (WatchImpl* w : watches_) w->bookmark(revision_);
}

}  // namespace keles
