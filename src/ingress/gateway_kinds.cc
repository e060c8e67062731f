#include "ingress/gateway_kinds.h"

namespace keles::ingress {

GatewayKinds::GatewayKinds(Client& client, InformerFactory& informers, std::vector<KindRef> kinds,
                           std::function<void()> changed)
    : own_(client), changed_(std::move(changed)) {
  for (KindRef& k : kinds) {
    const std::string plural(k->plural);
    auto definition =
        informers.informer<Definition>("", "", "metadata.name=" + std::string(k->group_resource()));
    definition.on_change(
        [this, plural](const Ref<Definition>&, const Ref<Definition>&) { follow(plural); });
    definitions_.emplace(plural, definition);
    kinds_.emplace(plural, std::move(k));
  }
}

void GatewayKinds::start(Context ctx) {
  ctx_ = ctx;
  for (const auto& [plural, kind] : kinds_) follow(plural);
}

void GatewayKinds::follow(const std::string& plural) {
  if (!ctx_) return;
  bool there = false;
  const std::string_view version = kinds_.at(plural)->version;
  for (const Ref<Definition>& d : definitions_.at(plural).list()) {
    bool served = false, established = false;
    for (auto v : d->spec().versions()) served = served || (v.name() == version && v.served());
    for (auto c : d->status().conditions())
      established = established || (c.type() == "Established" && c.status() == "True");
    there = served && established;
  }
  auto open = open_.find(plural);
  if (there == (open != open_.end())) return;
  if (there) {
    Open& o = open_[plural];
    o.ctx = ctx_->child();
    o.informer = own_.informer_until(*o.ctx, &*kinds_.at(plural));
    auto wake = [this](const ObjectPtr&) { changed_(); };
    o.informer->add_handler(
        {wake, [wake](const ObjectPtr&, const ObjectPtr& now) { wake(now); }, wake, nullptr});
  } else {
    open->second.ctx->cancel();
    open_.erase(open);
  }
  changed_();
}

Task<void> GatewayKinds::join() { co_await own_.join(); }

const KindDesc* GatewayKinds::kind(const std::string& plural) const { return &*kinds_.at(plural); }

InformerBase* GatewayKinds::find(const std::string& plural) const {
  auto o = open_.find(plural);
  return o == open_.end() ? nullptr : o->second.informer.get();
}

bool GatewayKinds::synced() const {
  for (const auto& [plural, o] : open_)
    if (!o.informer->synced()) return false;
  return true;
}

std::vector<DocumentPtr> GatewayKinds::list(const std::string& plural) const {
  std::vector<DocumentPtr> out;
  if (InformerBase* i = find(plural))
    for (const ObjectPtr& o : i->list()) out.push_back(o->tree());
  return out;
}

}  // namespace keles::ingress
