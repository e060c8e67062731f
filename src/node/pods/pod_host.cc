#include "node/pods/pod_host.h"

#include "base/beneath.h"
#include "base/file.h"
#include "node/logs/cri_log.h"
#include "node/pods/termination.h"

namespace keles::node {
namespace {

using api::core_v1::Pod;

constexpr Duration kMakeTime = 2min;

class LocalPodHost final : public PodHost {
 public:
  LocalPodHost(Volumes& volumes, PodCgroups& cgroups, UserNamespaces* users, std::string logs)
      : volumes_(volumes), cgroups_(cgroups), users_(users), logs_(std::move(logs)) {}

  Task<Status> set_cgroup(Context ctx, Qos qos, std::string uid, CgroupLimits limits) override {
    std::function<Status()> work = [&] { return cgroups_.create_pod(qos, uid, limits); };
    co_return co_await run_blocking(&ctx.loop(), std::move(work));
  }
  std::string cgroup_parent(Qos qos, const std::string& uid) const override {
    return cgroups_.parent_for_runtime(qos, uid);
  }
  Task<CgroupDriver::Usage> cgroup_usage(Context ctx, Qos qos, std::string uid) override {
    std::function<CgroupDriver::Usage()> work = [&] { return cgroups_.pod_usage(qos, uid); };
    co_return co_await run_blocking(&ctx.loop(), std::move(work));
  }
  Task<Status> remove_cgroup(Context ctx, std::string uid) override {
    std::function<Status()> work = [&] { return cgroups_.remove_pod(uid); };
    co_return co_await run_blocking(&ctx.loop(), std::move(work));
  }
  Status set_burstable_requests(int64_t milli_cpu) override {
    return cgroups_.set_burstable_requests(milli_cpu);
  }

  Task<Result<MountedVolumes>> set_up_volumes(Context ctx, Ref<Pod> pod, PodFacts facts,
                                              MountedVolumes known) override {
    return volumes_.setup(std::move(ctx), std::move(pod), std::move(facts), std::move(known));
  }
  WallTime next_refresh(const std::string& uid) const override {
    return volumes_.next_refresh(uid);
  }
  Task<Status> give_up_volumes(Context ctx, std::string uid) override {
    return volumes_.give_up(std::move(ctx), std::move(uid));
  }
  Task<Status> remove_volumes(Context ctx, std::string uid) override {
    TRY_CO(volumes_.remove(ctx, uid));
    if (users_) users_->release(uid);
    co_return Status();
  }
  Task<Result<cri::IdMapping>> user_ids(Context ctx, std::string uid) override {
    if (!users_) co_return Status::unavailable("this node gives pods no users of their own");
    auto given = users_->give(uid);
    if (!given.ok()) co_return given.status();
    if (!given->keep) co_return given->mapping;
    std::function<Status()> keep = std::move(given->keep);
    Status kept = co_await run_blocking(&ctx.loop(), std::move(keep));
    if (kept.ok()) co_return given->mapping;
    users_->release(uid);
    co_return kept;
  }
  Task<Result<std::string>> read_in_volume(Context ctx, std::string volume, std::string path,
                                           size_t max_bytes) override {
    using Text = Result<std::string>;
    std::function<Text()> work = [volume, path, max_bytes]() -> Text {
      TRY_ASSIGN(directory, open_directory(volume));
      return read_file_beneath(directory, path, max_bytes);
    };
    const std::string key = volume + " " + path;
    co_return co_await volumes_.calls().run<Text>(ctx.with_timeout(kMakeTime), key,
                                                  std::move(work));
  }

  Task<Status> make_log_directory(Context ctx, std::string below) override {
    std::function<Status()> work = [&] { return node::make_log_directory(logs_, below); };
    co_return co_await run_blocking(&ctx.loop(), std::move(work));
  }
  Task<Status> remove_log(Context ctx, std::string path) override {
    std::function<Status()> work = [&] { return node::remove_log(path); };
    co_return co_await run_blocking(&ctx.loop(), std::move(work));
  }
  Task<Status> remove_logs(Context ctx, Ref<Pod> pod) override {
    std::string path = pod_log_directory(logs_, *pod);
    std::function<Status()> work = [&] { return remove_tree(path); };
    co_return co_await run_blocking(&ctx.loop(), std::move(work));
  }

  // subPaths lead into volumes, which may not answer: what this needs it has to itself.
  Task<Result<cri::ContainerConfig>> make_container(Context ctx, ContainerFiles files,
                                                    ContainerInputs in) override {
    auto held = std::make_shared<Making>();
    const std::string key =
        std::string(in.pod->metadata().uid()) + " container " + std::string(in.container->name());
    held->pod_tree.root = deep_copy(held->pod_tree.arena, in.pod->value());
    held->container_tree.root = deep_copy(held->container_tree.arena, in.container->value());
    held->pod = Pod(held->pod_tree.root);
    held->container = api::core_v1::Container(held->container_tree.root);
    held->files = std::move(files);
    held->in = std::move(in);
    held->directories = volumes_.directories();
    held->logs = logs_;
    using Config = Result<cri::ContainerConfig>;
    std::function<Config()> work = [held] { return make(*held); };
    co_return co_await volumes_.calls().run<Config>(ctx.with_timeout(kMakeTime), key,
                                                    std::move(work));
  }
  Task<std::string> termination_message(Context ctx, std::string uid,
                                        cri::Container container) override {
    std::string directory = volumes_.pod_directory(uid);
    std::function<std::string()> work = [&] {
      return node::termination_message(directory, container);
    };
    co_return co_await run_blocking(&ctx.loop(), std::move(work));
  }

 private:
  struct Making {
    Document pod_tree, container_tree;
    Pod pod;
    api::core_v1::Container container;
    ContainerFiles files;
    ContainerInputs in;
    PodDirectories directories{""};
    std::string logs;
  };
  // Blocking.
  static Result<cri::ContainerConfig> make(Making& m) {
    ContainerInputs& in = m.in;
    in.pod = &m.pod;
    in.container = &m.container;
    const std::string uid(m.pod.metadata().uid()), name(m.container.name());
    const std::string directory = m.directories.path(uid);
    in.bind_sub_path = [&m, uid, name](const std::string& volume, const std::string& path,
                                       size_t index, const std::string& sub) {
      return bind_sub_path(m.directories, {uid, volume, name, index, path, sub});
    };
    in.hosts_file = directory + "/etc-hosts";
    TRY(make_directories(directory));
    // Written in place: containers hold the file itself.
    if (m.files.new_hosts || !path_exists(in.hosts_file))
      TRY(write_file(in.hosts_file, hosts_file(m.pod, m.files.pod_ips, m.files.cluster_domain)));
    if (!m.container.termination_message_path().empty()) {
      const std::string below = "containers/" + name + "/" + std::to_string(in.attempt);
      in.termination_file = directory + "/" + below;
      TRY(make_termination_file(directory, below));
    }
    TRY_ASSIGN(config, make_container_config(in));
    TRY(node::make_log_directory(m.logs, pod_log_directory("", m.pod).substr(1) + "/" + name));
    return Result<cri::ContainerConfig>(std::move(config));
  }

  Volumes& volumes_;
  PodCgroups& cgroups_;
  UserNamespaces* users_;
  std::string logs_;
};

}  // namespace

std::unique_ptr<PodHost> make_pod_host(Volumes& volumes, PodCgroups& cgroups, UserNamespaces* users,
                                       std::string logs) {
  return std::make_unique<LocalPodHost>(volumes, cgroups, users, std::move(logs));
}

}  // namespace keles::node
