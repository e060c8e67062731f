// A Handle over a client in memory, for tests of the plugins that ask the API.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "client/testing/fake_client.h"
#include "scheduler/cache.h"
#include "scheduler/handle.h"
#include "scheduler/profile.h"

namespace keles::scheduler {

class TestHandle final : public Handle {
 public:
  TestHandle(FakeClient& client, Cache& cache)
      : client_(client), cache_(cache), recorder_(client, "test"), informers_(client) {}
  Client& client() override { return client_; }
  EventRecorder& recorder() override { return recorder_; }
  InformerFactory& informers() override { return informers_; }
  std::shared_ptr<InformerBase> watch(const KindDesc* kind, Watched) override {
    return informers_.informer(kind, "", "", "");
  }
  Informer<api::core_v1::Pod> pods() override { return informers_.informer<api::core_v1::Pod>(); }
  Informer<api::core_v1::Node> nodes() override {
    return informers_.informer<api::core_v1::Node>();
  }
  Ref<api::core_v1::Pod> object_of(const PodInfo& pod) override {
    return pods().get(pod.ns, pod.name);
  }
  const ClusterView& view() override { return cache_.view(); }
  void happened(const Event&) override {}
  void activate(const PodInfo&) override {}
  void ask_again(std::string_view) override {}
  bool allow(std::string_view, const Plugin&) override { return false; }
  bool reject(std::string_view, const Plugin&, std::string) override { return false; }
  bool cancel_binding(std::string_view, std::string) override { return false; }
  void nominate(const PodPtr&, const std::string&) override {}
  void spawn(Task<void> work) override { keles::spawn(client_.loop(), std::move(work)); }
  Context context() override { return Context::root(client_.loop()); }

 private:
  FakeClient& client_;
  Cache& cache_;
  EventRecorder recorder_;
  InformerFactory informers_;
};

inline Task<void> pre_bind_into(Profile* profile, Context ctx, CyclePtr cycle, std::string node,
                                std::optional<Status>* out) {
  Status s = co_await profile->pre_bind(ctx, cycle, node);
  *out = s;
}

}  // namespace keles::scheduler
