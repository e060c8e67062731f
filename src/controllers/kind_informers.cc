#include "controllers/kind_informers.h"

#include <utility>

#include "machinery/custom_kind.h"

namespace keles::controllers {

KindInformers::KindInformers(Client& client, InformerFactory& factory, Filter filter,
                             Changed changed)
    : client_(client),
      factory_(factory),
      others_(client),
      filter_(filter),
      changed_(std::move(changed)),
      tasks_(client.loop()) {
  std::map<std::string_view, const KindDesc*> kinds;
  for (const KindDesc* k : builtin_catalog()->kinds()) {
    if (filter_(*k)) kinds.emplace(k->group_resource(), k);  // the first version will do
  }
  for (const auto& [resource, kind] : kinds) {
    built_in_[std::string(resource)] = factory_.informer(kind, "", "", "");
  }
  for (const auto& [resource, informer] : built_in_) {
    informer->add_handler({[this](const ObjectPtr& now) { changed_(nullptr, now); },
                           [this](const ObjectPtr& b, const ObjectPtr& n) { changed_(b, n); },
                           [this](const ObjectPtr& last) { changed_(last, nullptr); },
                           {}});
  }
}

void KindInformers::start(Context ctx) {
  ctx_ = ctx;
  subscription_ = client_.kinds().changed().subscribe(client_.loop(), [this] { follow(); });
  follow();
}

Task<void> KindInformers::join() {
  subscription_.reset();
  co_await tasks_.join();
  co_await others_.join();
}

InformerBase* KindInformers::find(std::string_view resource) const {
  if (auto at = built_in_.find(resource); at != built_in_.end()) return at->second.get();
  auto at = custom_.find(resource);
  if (at == custom_.end()) return nullptr;
  return at->second.older ? at->second.older.get() : at->second.informer.get();
}

std::vector<InformerBase*> KindInformers::built_in() const {
  std::vector<InformerBase*> out;
  for (const auto& [resource, informer] : built_in_) out.push_back(informer.get());
  return out;
}

std::vector<KindRef> KindInformers::kinds() const {
  std::vector<KindRef> out;
  for (const auto& [resource, informer] : built_in_) out.emplace_back(&informer->kind());
  for (const auto& [resource, c] : custom_) out.push_back(c.kind);
  return out;
}

bool KindInformers::synced() const {
  for (const auto& [resource, c] : custom_) {
    if (custom_kinds(*c.kind) && !c.informer->synced()) return false;
  }
  return true;
}

void KindInformers::follow() {
  if (ctx_->done()) return;
  CatalogPtr catalog = client_.kinds().current();
  std::map<std::string_view, const KindDesc*> wanted;
  for (const KindRef& k : catalog->custom()) {
    if (!filter_(*k)) continue;
    // Of several versions the one that is stored: nothing needs to be converted for it.
    auto [at, fresh] = wanted.emplace(k->group_resource(), k.get());
    const CustomKinds* kinds = custom_kinds(*k);
    if (!fresh && kinds && k.get() == &kinds->stored()) at->second = k.get();
  }
  for (auto at = custom_.begin(); at != custom_.end();) {
    if (wanted.contains(at->first)) {
      ++at;
      continue;
    }
    Custom gone = std::move(at->second);
    at = custom_.erase(at);
    gone.ctx->cancel();
    if (gone.older) forget(*gone.older, gone.informer.get());
    forget(*gone.informer, nullptr);
  }
  for (const auto& [resource, kind] : wanted) {
    auto at = custom_.find(resource);
    if (at == custom_.end() || at->second.kind.get() != kind) open(std::string(resource), kind);
  }
}

// The definition has changed: what was known stays until the new informer has listed.
void KindInformers::open(const std::string& resource, const KindDesc* kind) {
  Custom& c = custom_[resource];
  if (c.informer) {
    c.ctx->cancel();
    if (!c.older) c.older = c.informer;
  }
  c.kind = KindRef(kind);
  c.ctx = ctx_->child();
  c.informer = others_.informer_until(*c.ctx, kind);
  c.informer->add_handler({[this](const ObjectPtr& now) { changed_(nullptr, now); },
                           [this](const ObjectPtr& b, const ObjectPtr& n) { changed_(b, n); },
                           [this](const ObjectPtr& last) { changed_(last, nullptr); },
                           {}});
  if (c.older) tasks_.spawn(replace(this, *c.ctx, resource, c.informer));
}

Task<void> KindInformers::replace(KindInformers* self, Context ctx, std::string resource,
                                  std::shared_ptr<InformerBase> fresh) {
  Status s = co_await fresh->wait_synced(ctx);
  if (!s.ok()) co_return;
  auto at = self->custom_.find(resource);
  if (at == self->custom_.end() || at->second.informer != fresh) co_return;
  std::shared_ptr<InformerBase> older = std::exchange(at->second.older, nullptr);
  if (older) self->forget(*older, fresh.get());
}

// Tells that those have gone which the fresh one does not have.
void KindInformers::forget(InformerBase& older, const InformerBase* fresh) {
  for (const ObjectPtr& o : older.list()) {
    ObjectPtr still = fresh ? fresh->get(o->namespace_(), o->name()) : nullptr;
    if (!still || still->uid() != o->uid()) changed_(o, nullptr);
  }
}

}  // namespace keles::controllers
