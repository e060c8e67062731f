#include "ingress/gateway_kinds.h"

namespace keles::ingress {

GatewayKinds::GatewayKinds(Client& client, InformerFactory& informers, std::vector<KindRef> kinds,
                           std::function<void()> changed)
    : own_(client), changed_(std::move(changed)) {
  for (KindRef& k : kinds) {
    const std::string plural(k->plural);
    std::vector<KindRef>& versions = kinds_[plural];
    versions.push_back(std::move(k));
    if (versions.size() > 1) continue;
    const KindRef& first = versions.front();
    auto definition = informers.informer<Definition>(
        "", "", "metadata.name=" + std::string(first->group_resource()));
    definition.on_change(
        [this, plural](const Ref<Definition>&, const Ref<Definition>&) { follow(plural); });
    definitions_.emplace(plural, definition);
  }
}

void GatewayKinds::start(Context ctx) {
  ctx_ = ctx;
  for (const auto& [plural, versions] : kinds_) follow(plural);
}

KindRef GatewayKinds::served(const std::string& plural) const {
  for (const Ref<Definition>& d : definitions_.at(plural).list()) {
    bool established = false;
    for (auto c : d->status().conditions())
      established = established || (c.type() == "Established" && c.status() == "True");
    if (!established) continue;
    for (const KindRef& k : kinds_.at(plural))
      for (auto v : d->spec().versions())
        if (v.name() == k->version && v.served()) return k;
  }
  return KindRef();
}

void GatewayKinds::follow(const std::string& plural) {
  if (!ctx_) return;
  const KindRef kind = served(plural);
  auto open = open_.find(plural);
  if (open != open_.end() && kind && open->second.kind->version == kind->version) return;
  if (open == open_.end() && !kind) return;
  if (open != open_.end()) {
    open->second.ctx->cancel();
    open_.erase(open);
  }
  if (kind) {
    Open& o = open_[plural];
    o.kind = kind;
    o.ctx = ctx_->child();
    o.informer = own_.informer_until(*o.ctx, &*kind);
    auto wake = [this](const ObjectPtr&) { changed_(); };
    o.informer->add_handler(
        {wake, [wake](const ObjectPtr&, const ObjectPtr& now) { wake(now); }, wake, nullptr});
  }
  changed_();
}

Task<void> GatewayKinds::join() { co_await own_.join(); }

const KindDesc* GatewayKinds::kind(const std::string& plural) const {
  auto o = open_.find(plural);
  return o == open_.end() ? &*kinds_.at(plural).front() : &*o->second.kind;
}

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
