// What the scheduler gives its plugins, for as long as they live: the API, its informers, and a
// hand on waiting pods. In tests of pure plugins there is none (PluginContext::handle is null). One
// loop's thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <typeindex>
#include <utility>

#include "client/client.h"
#include "client/event_recorder.h"
#include "client/informer.h"
#include "scheduler/framework.h"

namespace keles::scheduler {

class Handle {
 public:
  virtual ~Handle() = default;
  virtual Client& client() = 0;
  virtual EventRecorder& recorder() = 0;
  // Plugins take their informers while they are made. The first decision waits until all have
  // their copy.
  virtual InformerFactory& informers() = 0;
  // The informer of a kind whose changes concern waiting pods: each becomes added(as), updated(as)
  // or deleted(as) for the queue, with the object before and now. A kind is watched once, whoever
  // asks.
  template <class T>
  Informer<T> watch(Watched as) {
    return Informer<T>(watch(&kind_of<T>(), as));
  }
  virtual std::shared_ptr<InformerBase> watch(const KindDesc* kind, Watched as) = 0;
  virtual Informer<api::core_v1::Pod> pods() = 0;
  virtual Informer<api::core_v1::Node> nodes() = 0;
  // The whole object, while it is there and the same.
  virtual Ref<api::core_v1::Pod> object_of(const PodInfo& pod) = 0;
  // The nodes with their pods, assumed ones too. Valid until the next wait.
  virtual const ClusterView& view() = 0;
  // A change that no watched object shows: waiting pods are asked as for any other.
  virtual void happened(const Event& event) = 0;
  // Tries a waiting pod at once, whatever it waits for.
  virtual void activate(const PodInfo& pod) = 0;
  // Asks pre_enqueue() again for a pod that was not let in.
  virtual void ask_again(std::string_view uid) = 0;
  // Ends the waiting of a pod that permit() made wait; false: it does not wait for this plugin.
  virtual bool allow(std::string_view uid, const Plugin& by) = 0;
  virtual bool reject(std::string_view uid, const Plugin& by, std::string reason) = 0;
  // A pod between reserve() and bind(): its binding is given up with `reason`. False when it is too
  // late or there is no such.
  virtual bool cancel_binding(std::string_view uid, std::string reason) = 0;
  // A pod's nomination, before the API shows it ("": none).
  virtual void nominate(const PodPtr& pod, const std::string& node) = 0;
  // Work beside the decisions. It ends with the scheduler.
  virtual void spawn(Task<void> work) = 0;
  virtual Context context() = 0;
  // What the plugins of all profiles know together, a T(Handle&): made for the first who asks, and
  // kept as long as the handle. What is assumed belongs there, not into a plugin, of which each
  // profile has its own: what one profile gave away the others must not give again.
  template <class T>
  T& shared() {
    std::shared_ptr<void>& at = shared_[typeid(T)];
    if (!at) at = std::make_shared<T>(*this);
    return *static_cast<T*>(at.get());
  }

 private:
  std::map<std::type_index, std::shared_ptr<void>> shared_;
};

// What a plugin is made of.
struct PluginContext {
  Handle* handle = nullptr;
  // The args object of KubeSchedulerConfiguration for this plugin, with defaults; null: none given.
  Value args = Value();
  std::string profile = "default-scheduler";
};

}  // namespace keles::scheduler
