// A runtime that does nothing and says so (kServiceUnavailable): what a test's own runtime derives
// from, to answer what the test is about.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "node/cri/runtime.h"

namespace keles::node::cri {

class StubRuntime : public Runtime {
 public:
  Task<Result<Version>> version(Context) override { return none<Version>(); }
  Task<Result<RuntimeStatus>> status(Context) override { return none<RuntimeStatus>(); }
  Task<Result<std::string>> run_sandbox(Context, SandboxConfig, std::string) override {
    return none<std::string>();
  }
  Task<Status> stop_sandbox(Context, std::string) override { return nothing(); }
  Task<Status> remove_sandbox(Context, std::string) override { return nothing(); }
  Task<Result<Sandbox>> sandbox_status(Context, std::string) override { return none<Sandbox>(); }
  Task<Result<std::vector<Sandbox>>> list_sandboxes(Context, std::string) override {
    return none<std::vector<Sandbox>>();
  }
  Task<Result<std::string>> create_container(Context, std::string, ContainerConfig,
                                             SandboxConfig) override {
    return none<std::string>();
  }
  Task<Status> start_container(Context, std::string) override { return nothing(); }
  Task<Status> stop_container(Context, std::string, int64_t) override { return nothing(); }
  Task<Status> remove_container(Context, std::string) override { return nothing(); }
  Task<Result<Container>> container_status(Context, std::string) override {
    return none<Container>();
  }
  Task<Result<std::vector<Container>>> list_containers(Context, std::string) override {
    return none<std::vector<Container>>();
  }
  Task<Result<std::vector<ContainerStats>>> list_container_stats(Context) override {
    return none<std::vector<ContainerStats>>();
  }
  Task<Status> reopen_log(Context, std::string) override { return nothing(); }
  Task<Status> update_resources(Context, std::string, Resources) override { return nothing(); }
  Task<Status> checkpoint_container(Context, std::string, std::string, int64_t) override {
    return nothing();
  }
  Task<Result<ExecResult>> exec_sync(Context, std::string, std::vector<std::string>,
                                     int64_t) override {
    return none<ExecResult>();
  }
  Task<Result<std::string>> exec_url(Context, std::string, std::vector<std::string>,
                                     StreamOptions) override {
    return none<std::string>();
  }
  Task<Result<std::string>> attach_url(Context, std::string, StreamOptions) override {
    return none<std::string>();
  }
  Task<Result<std::string>> port_forward_url(Context, std::string, std::vector<int>) override {
    return none<std::string>();
  }
  Task<Result<std::vector<Image>>> list_images(Context) override {
    return none<std::vector<Image>>();
  }
  Task<Result<std::optional<Image>>> image_status(Context, std::string) override {
    return none<std::optional<Image>>();
  }
  Task<Result<std::string>> pull_image(Context, std::string, std::optional<ImageAuth>) override {
    return none<std::string>();
  }
  Task<Status> remove_image(Context, std::string) override { return nothing(); }
  Task<Result<ImageFilesystems>> image_fs_info(Context) override {
    return none<ImageFilesystems>();
  }
  Task<Status> watch_events(Context, std::function<void(std::string)>) override {
    return nothing();
  }

 private:
  template <class T>
  static Task<Result<T>> none() {
    co_return Status::unavailable("there is no runtime");
  }
  static Task<Status> nothing() { co_return Status::unavailable("there is no runtime"); }
};

}  // namespace keles::node::cri
