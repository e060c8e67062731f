// PodWorker: one pod on this node, from its first sight to its end. Desired is the API's Pod,
// actual is what the runtime lists, the difference is plan(); the worker carries it out, keeps the
// pod's status reported, and at the end takes everything down and lets the API object go.
//
// One loop. It holds no state that a restart would miss: all is read back from the runtime.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/recurring.h"
#include "base/sync.h"
#include "client/client.h"
#include "client/informer.h"
#include "node/events.h"
#include "node/images/images.h"
#include "node/managers/container_managers.h"
#include "node/pods/admission.h"
#include "node/pods/container_config.h"
#include "node/pods/containers.h"
#include "node/pods/plan.h"
#include "node/pods/pod_host.h"
#include "node/pods/resize.h"
#include "node/pods/status.h"
#include "node/probes/probes.h"

namespace keles::node {

// What all workers of a node share. Outlives them.
struct PodServices {
  Client* client = nullptr;
  cri::Runtime* runtime = nullptr;
  Events* events = nullptr;
  Images* images = nullptr;
  PodHost* host = nullptr;
  ObjectCache* objects = nullptr;
  Probes* probes = nullptr;
  ContainerManagers* managers = nullptr;  // may be none
  // Asks the node for its verdict on this pod, which comes by PodWorker::decide().
  std::function<Task<void>(Context ctx, std::string uid)> admit;
  // Asks the node to give pods what their specs want by now, where there is room: it answers by
  // allocate() or defer().
  std::function<void()> retry_resizes;
  // The runtime handler of a RuntimeClass; an error when there is no such class.
  std::function<Task<Result<std::string>>(Context ctx, std::string runtime_class)> runtime_handler;
  std::function<cri::RuntimeStatus()> runtime_status;
  std::function<std::vector<Ref<api::core_v1::Service>>()> services;
  std::function<Task<DnsDefaults>(Context ctx)> dns;
  // Whether containers may be made: the network is up (pods on the host's network need none).
  std::function<std::string()> network_trouble;  // "": pods can have a network
  // Waits until what is said of this pod, in this sandbox at these addresses, is in force; empty:
  // nobody says anything.
  std::function<Task<Status>(Context ctx, Ref<api::core_v1::Pod> pod, std::string sandbox,
                             std::vector<std::string> ips)>
      guard_network;
  // Makes the devices of the pod's claims ready; none: this node has no drivers of any.
  std::function<Task<Status>(Context ctx, Ref<api::core_v1::Pod> pod)> prepare_devices;
  // A token of the pod's service account; none: pods get none for their images.
  std::function<Task<Result<std::string>>(Context ctx, Ref<api::core_v1::Pod> pod,
                                          std::string audience)>
      pod_token;
  std::string logs_directory;                      // /var/log/pods
  std::string seccomp_root;                        // /var/lib/kubelet/seccomp
  std::string node_name, host_ip, second_host_ip;  // the second of the other family, or ""
  std::vector<std::string> host_ips() const {
    std::vector<std::string> out{host_ip};
    if (!second_host_ip.empty()) out.push_back(second_host_ip);
    return out;
  }
  int64_t memory_bytes = 0;
  std::string allocatable_cpu, allocatable_memory;
  int64_t pod_pids_limit = 0;           // of a pod; 0: none
  std::vector<std::string> page_units;  // sizes of huge pages, "2MB"
  NodeSwap swap;
  // Told when nothing runs any more of a pod that was to end before its containers did, and when
  // its volumes have been let go of.
  std::function<void(const std::string& uid)> ended_early;
  // Told every id of a container or sandbox that belongs to a pod.
  std::function<void(const std::string& id, const std::string& uid)> register_id;
};

class PodWorker {
 public:
  PodWorker(Context ctx, PodServices& services, Ref<api::core_v1::Pod> pod);

  void update(Ref<api::core_v1::Pod> pod);  // the API's newer state
  void removed();                           // the API object is gone
  // Of a static pod: the object by which the API shows it, null when there is none. Its status is
  // what an earlier agent reported.
  void set_mirror(const Ref<api::core_v1::Pod>& mirror);
  void wake();
  // The node's verdict. Before it nothing of the pod runs; a refused one is reported as failed.
  void decide(const Verdict& verdict);
  bool decided() const { return taken_ || rejected_; }
  // It was taken, and has not ended: what it asks for is in use. One whose object is gone counts no
  // more: the scheduler has given its room away (as upstream, whose pod manager forgets it then).
  bool holds_room() const;
  // It has not ended: what it was given is not another's, though its object may be gone.
  bool lives() const;
  // Ends the pod for good, within `grace_seconds` or sooner: it fails with this reason. With
  // `disruption` a condition says so too. Once is enough: false when it was ending already.
  struct Ending {
    std::string reason, message;
    int64_t grace_seconds = 1;
    bool disruption = false;
  };
  bool end_early(Ending why);
  // A pod that ends has no more than this from now on.
  void hurry(int64_t grace_seconds);
  // It is ending, or has ended, before its containers did.
  bool ends_early() const { return ending_.has_value() || !failed_reason_.empty(); }
  // It has ended: nothing of it runs, and its volumes are let go of.
  bool at_rest() const { return finished_ || emptied_; }
  // Removes containers that have exited and are not to be looked at: of a pod that has ended.
  Task<void> drop_dead(Context ctx);
  // Something happened to this container; the runtime may show it a little later.
  void container_event(const std::string& id);
  // Until the pod is gone from node and API, or ctx ends (its containers then go on).
  Task<void> run();

  const Ref<api::core_v1::Pod>& pod() const { return pod_; }
  const std::string& uid() const { return uid_; }
  const PodRuntime& actual() const { return actual_; }
  // Whether actual() is what the runtime had at some time: an agent that has just begun knows a pod
  // before what runs of it.
  bool has_looked() const { return seeded_; }
  // The pod with the newest status that was made of it, for the node's own /pods.
  Document current() const;
  bool finished() const { return finished_; }
  // What others tell of it has changed: its status is made anew.
  void refresh_status() { publish(); }

  // --- resources that change while it runs ---

  // The pod with what it has been given in place of what it asks for.
  const Ref<api::core_v1::Pod>& allocated() const { return allocated_; }
  const Allocation& allocation() const { return allocation_; }
  bool wants_resize() const;
  void allocate();  // what the spec wants: there is room
  // There is none yet, or (infeasible) never will be.
  void defer(std::string why, bool infeasible = false);
  const ResizeState& resize_state() const { return resize_; }

 private:
  static constexpr Duration kResync = 60s;
  Task<Status> refresh(Context ctx);
  Task<void> sync(Context ctx);
  Task<Status> carry_out(Context ctx, PodPlan plan);
  Task<Status> reset(Context ctx, std::vector<PodPlan::Reset> all);
  Task<Status> make_sandbox(Context ctx, uint32_t attempt);
  Task<Status> prepare_claims(Context ctx);
  Task<bool> release_claims(Context ctx);
  Task<Status> guard_network(Context ctx);
  Task<Status> prepare(Context ctx);
  Task<Status> start_container(Context ctx, PodPlan::Start start);
  Task<Status> create_and_start(Context ctx, PodPlan::Start start, api::core_v1::Container c,
                                cri::Image image);
  Task<Result<Environment>> environment(Context ctx, api::core_v1::Container c);
  Task<Status> run_hook(Context ctx, api::core_v1::Container c, api::core_v1::LifecycleHandler hook,
                        std::string container_id);
  Task<void> kill(Context ctx, std::string id, std::string name, std::string message,
                  int64_t grace_seconds);
  Task<void> kill_task(Context ctx, std::string id, std::string name, int64_t grace_seconds);
  Task<void> stop_sandbox(Context ctx, std::string id);
  Task<void> stop_everything(Context ctx, int64_t grace_seconds);
  Task<void> stop_within_grace(Context ctx);
  Task<void> terminate(Context ctx);
  Task<void> remove_from_runtime(Context ctx);
  Task<void> trim_dead(Context ctx, std::string name);
  Task<void> trim_sandboxes(Context ctx);
  Task<bool> past_deadline(Context ctx);
  Task<void> carry_out_ending(Context ctx);
  Task<void> resize(Context ctx);
  Task<Status> carry_out_resize(Context ctx, std::vector<ResizeStep> steps);
  Task<Status> check_memory(Context ctx, std::vector<ResizeStep> steps, int64_t pod_limit);
  void take_allocation(Allocation a);
  void seed_resources();
  CgroupLimits own_limits() const;
  Task<void> give_up_volumes(Context ctx);
  Task<void> release_volumes(Context ctx);
  Task<void> delete_object(Context ctx);
  Task<void> send_status(Context ctx);
  Task<void> await_sent(Context ctx);
  Task<void> report_while_ending(Context ctx);
  struct RuntimeChoice {
    std::string handler;
    cri::RuntimeHandler features;
    std::vector<cri::IdMapping> user_ids;  // of a user namespace of its own
  };
  Task<Result<RuntimeChoice>> choose_runtime(Context ctx);
  Task<Result<std::map<std::string, ImageVolume>>> image_volumes(Context ctx, std::string name,
                                                                 Ref<api::core_v1::Pod> pod,
                                                                 api::core_v1::Container c);
  Task<Keyring> pull_secrets(Context ctx, Ref<api::core_v1::Pod> pod);
  PodAccount account(const Ref<api::core_v1::Pod>& pod) const;
  Result<std::string> target_container(std::string_view name) const;

  void seed_backoff(WallTime now);
  void publish(bool ended = false);
  void note_shown(const api::core_v1::Pod& shown);
  void update_probes();
  void wake_at(WallTime when);
  // After a pause that grows, twice as long each time.
  void try_again(const Context& ctx, Duration* pause, Duration least, Duration most);
  void event(std::string_view container, std::string type, std::string reason, std::string message);
  api::core_v1::Container container(std::string_view name, Role* role = nullptr) const;
  PodFacts facts() const;
  int64_t grace_seconds() const;
  int64_t ending_grace() const;
  void note_grace();
  bool deleting() const { return removed_ || !pod_->metadata().deletion_timestamp().empty(); }

  Context ctx_;
  Context sync_ctx_;  // ends when the pod is to be deleted: a long pull then stops
  PodServices& s_;
  Ref<api::core_v1::Pod> pod_;
  std::string uid_, key_;
  bool static_ = false;     // not the API's
  std::string mirror_uid_;  // of a static pod's mirror; "" = none
  bool removed_ = false, finished_ = false;
  bool taken_ = false, rejected_ = false;  // the node's verdict
  PodRuntime actual_;
  std::map<std::string, cri::Container> known_;  // statuses that will not change, by id
  std::map<std::string, cri::Sandbox> known_sandboxes_;
  std::map<std::string, std::string> messages_;
  std::map<std::string, Backoff> backoff_;
  std::map<std::string, Waiting> waiting_;
  std::map<std::string, uint32_t> reset_;          // as PlanInput's
  std::map<std::string, std::string> reset_logs_;  // of those, by name
  bool restarting_all_ = false;
  std::set<std::string> suspects_;
  int suspect_tries_ = 0;
  bool seeded_ = false;
  std::optional<MountedVolumes> volumes_;  // none until they have been prepared once
  Backoff sandbox_backoff_;
  Duration prepare_pause_{0}, claims_pause_{0};
  std::string_view round_ = "create";  // why the next round is gone through, for the metrics
  Recurring unread_;                   // the runtime's state
  std::string hosts_sandbox_;          // whose address etc-hosts has
  std::string guarded_sandbox_;        // whose addresses guard_network() was told
  Allocation allocation_;
  Ref<api::core_v1::Pod> allocated_;                       // pod_ with it
  std::map<std::string, ResourceTexts> actual_resources_;  // of running containers, by id
  ResourceTexts actual_whole_;
  CgroupLimits cgroup_limits_;  // of the pod's own cgroup
  ResizeState resize_;
  std::optional<Ending> ending_;  // to be carried out
  // While everything of it is being stopped: anew when it is to be over sooner.
  struct Stopping {
    Stopping(Context c, int64_t g, TimePoint e) : ctx(std::move(c)), grace(g), ends(e) {}
    Context ctx;
    int64_t grace;
    TimePoint ends;
  };
  std::optional<Stopping> stopping_;
  std::optional<int64_t> hurry_;       // seconds, of who asked for less than the pod has
  std::set<std::string> told_to_end_;  // containers: their hooks run once
  std::string failed_reason_, failed_message_;
  bool disruption_ = false;
  bool emptied_ = false;  // it has ended, and its volumes are gone
  Duration empty_pause_{0};
  Event wake_, status_dirty_;
  std::optional<WallTime> next_wake_;
  std::shared_ptr<Document> status_;  // the last one built
  std::shared_ptr<Document> sent_;    // the last one that the API took
  int64_t sent_revision_ = 0;         // of the pod, with it
  Event sent_event_;
  WallTime first_seen_{};
  TaskGroup group_;
};

}  // namespace keles::node
