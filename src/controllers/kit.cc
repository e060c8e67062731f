#include "controllers/kit.h"

#include "base/metrics.h"

namespace keles::controllers {

namespace {

// The object of the wanted kind that controls a child; an empty uid when there is none.
struct Parent {
  std::string uid, key;
  bool none = true;  // nobody at all controls it
  bool operator==(const Parent&) const = default;
};

Parent parent_of(const KindDesc& kind, const ObjectPtr& child) {
  Parent out;
  DocumentPtr tree = child->metadata();
  auto ref = controller_of(api::meta_v1::ObjectMeta(tree->root["metadata"]));
  out.none = !ref;
  if (out.none || ref.kind() != kind.kind) return out;
  std::string_view version = ref.api_version(), group;
  if (size_t slash = version.find('/'); slash != version.npos) group = version.substr(0, slash);
  if (group != kind.group) return out;
  out.uid = std::string(ref.uid());
  out.key = std::string(child->namespace_()) + "/" + std::string(ref.name());
  return out;
}

bool is_marked(const ObjectPtr& o) {
  DocumentPtr tree = o->metadata();
  return !tree->root["metadata"]["deletionTimestamp"].is_null();
}

bool same_labels(const ObjectPtr& a, const ObjectPtr& b) {
  DocumentPtr x = a->metadata(), y = b->metadata();
  return x->root["metadata"]["labels"].equals(y->root["metadata"]["labels"]);
}

class Follower {
 public:
  explicit Follower(Parents parents) : parents_(std::move(parents)) {}

  void added(const ObjectPtr& now) const {
    Parent p = parent_of(*parents_.kind, now);
    if (p.none) return orphaned(now);
    if (p.uid.empty()) return;
    if (parents_.expectations) parents_.expectations->creation_settled(p.uid);
    if (is_marked(now)) gone(p, now);
    parents_.queue->add(std::move(p.key));
  }
  void updated(const ObjectPtr& before, const ObjectPtr& now) const {
    if (before->uid() != now->uid()) {  // another has taken its name
      deleted(before);
      return added(now);
    }
    Parent was = parent_of(*parents_.kind, before), is = parent_of(*parents_.kind, now);
    if (!was.uid.empty() && is_marked(now)) gone(was, now);
    if (is.none && (!was.none || !same_labels(before, now))) orphaned(now);
    if (!was.key.empty() && was.key != is.key) parents_.queue->add(std::move(was.key));
    if (!is.key.empty()) parents_.queue->add(std::move(is.key));
  }
  void deleted(const ObjectPtr& last) const {
    Parent p = parent_of(*parents_.kind, last);
    if (p.uid.empty()) return;
    gone(p, last);
    parents_.queue->add(std::move(p.key));
  }

 private:
  void gone(const Parent& p, const ObjectPtr& child) const {
    if (!parents_.expectations) return;
    parents_.expectations->deletion_settled(p.uid, std::string(child->uid()));
  }
  void orphaned(const ObjectPtr& o) const {
    if (!parents_.orphaned) return;
    for (std::string& key : parents_.orphaned(o)) parents_.queue->add(std::move(key));
  }
  Parents parents_;
};

}  // namespace

void follow_children(InformerBase& children, Parents parents) {
  index_by_controller(children);
  auto f = std::make_shared<const Follower>(std::move(parents));
  children.add_handler({[f](const ObjectPtr& now) { f->added(now); },
                        [f](const ObjectPtr& b, const ObjectPtr& n) { f->updated(b, n); },
                        [f](const ObjectPtr& last) { f->deleted(last); }, nullptr});
}

void count_stale_sync(const std::string& controller, const KindDesc& kind) {
  metrics::counter(controller + "_controller_stale_sync_skips_total",
                   "Reconciles that were put off until a write of the controller's own is seen.",
                   {"group", "resource"})
      .with({std::string(kind.group), std::string(kind.plural)})
      .add();
}

}  // namespace keles::controllers
