#include "keles/merged_client.h"

#include <utility>
#include <vector>

#include "keles/remote_kinds.h"

namespace keles {
namespace {

class MergedClient final : public Client {
 public:
  MergedClient(ApiServer& server, std::unique_ptr<Client> here, std::unique_ptr<Client> elsewhere)
      : server_(server), here_(std::move(here)), elsewhere_(std::move(elsewhere)) {
    auto look = [this] { publish(); };
    subscriptions_[0] = server_.kinds().changed().subscribe(loop(), look);
    subscriptions_[1] = server_.aggregator().changed().subscribe(loop(), look);
    publish();
  }

  Loop& loop() override { return here_->loop(); }
  CatalogSource& kinds() override { return kinds_; }

  Task<Result<ObjectPtr>> get(Context ctx, const KindDesc* kind, std::string ns,
                              std::string name) override {
    return of(kind).get(std::move(ctx), kind, std::move(ns), std::move(name));
  }
  Task<Result<ListResult>> list(Context ctx, const KindDesc* kind, std::string ns,
                                ListOptions options) override {
    return of(kind).list(std::move(ctx), kind, std::move(ns), std::move(options));
  }
  Task<Result<std::unique_ptr<Watch>>> watch(Context ctx, const KindDesc* kind, std::string ns,
                                             WatchOptions options) override {
    return of(kind).watch(std::move(ctx), kind, std::move(ns), std::move(options));
  }
  Task<Result<ObjectPtr>> create(Context ctx, const KindDesc* kind, std::string ns,
                                 std::string name, Document body, WriteOptions options) override {
    return of(kind).create(std::move(ctx), kind, std::move(ns), std::move(name), std::move(body),
                           std::move(options));
  }
  Task<Result<ObjectPtr>> update(Context ctx, const KindDesc* kind, std::string ns,
                                 std::string name, Document body, WriteOptions options) override {
    return of(kind).update(std::move(ctx), kind, std::move(ns), std::move(name), std::move(body),
                           std::move(options));
  }
  Task<Result<ObjectPtr>> patch(Context ctx, const KindDesc* kind, std::string ns, std::string name,
                                PatchType type, Document body, WriteOptions options) override {
    return of(kind).patch(std::move(ctx), kind, std::move(ns), std::move(name), type,
                          std::move(body), std::move(options));
  }
  Task<Result<ObjectPtr>> remove(Context ctx, const KindDesc* kind, std::string ns,
                                 std::string name, DeleteOptions options) override {
    return of(kind).remove(std::move(ctx), kind, std::move(ns), std::move(name),
                           std::move(options));
  }

 private:
  Client& of(const KindDesc* kind) { return is_remote(*kind) ? *elsewhere_ : *here_; }

  void publish() {
    const CatalogPtr here = server_.kinds().current();
    std::vector<KindRef> all(here->custom().begin(), here->custom().end());
    for (KindRef& k : remote_.of(*server_.aggregator().view())) all.push_back(std::move(k));
    kinds_.publish(std::move(all));
  }

  ApiServer& server_;
  std::unique_ptr<Client> here_, elsewhere_;
  RemoteKinds remote_;
  CatalogSource kinds_;
  std::unique_ptr<Notice::Subscription> subscriptions_[2];
};

}  // namespace

std::unique_ptr<Client> make_merged_client(ApiServer& server, std::unique_ptr<Client> here,
                                           std::unique_ptr<Client> elsewhere) {
  return std::make_unique<MergedClient>(server, std::move(here), std::move(elsewhere));
}

}  // namespace keles
