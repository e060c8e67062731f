// For tests: a member that serves on a loopback port, on a thread of its own.
#pragma once

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <thread>

#include "base/run_task.h"
#include "base/temporary_directory.h"
#include "etcd/member.h"

namespace keles::etcdserver {

class TestMember {
 public:
  explicit TestMember(MemberOptions options = MemberOptions()) : options_(std::move(options)) {
    options_.directory = directory_.path() + "/member";
    start();
  }
  TestMember(const TestMember&) = delete;
  ~TestMember() { stop(); }

  uint16_t port() const { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  const std::string& directory() const { return options_.directory; }

  void stop() {
    if (!thread_.joinable()) return;
    loop_->post([this] { spawn(*loop_, end(this)); });
    thread_.join();
    server_.reset();
    member_.reset();
    loop_.reset();
  }
  // On the same directory, and port unless somebody has it by now.
  void start() {
    loop_ = make_real_loop();
    auto opened = Member::open(*loop_, options_, [](Status s) {
      ADD_FAILURE() << s.to_string();
      std::abort();
    });
    if (!opened.ok()) {
      ADD_FAILURE() << opened.status().to_string();
      std::abort();
    }
    member_ = std::move(*opened);
    Member* member = member_.get();
    auto handler = [member](Context c, net::Request* request, net::Responder* responder) {
      return member->serve(std::move(c), request, responder);
    };
    auto server = net::Server::start({loop_.get()}, server_options("127.0.0.1", port_), handler);
    if (!server.ok())
      server = net::Server::start({loop_.get()}, server_options("127.0.0.1", 0), handler);
    if (!server.ok()) std::abort();
    server_ = std::move(*server);
    port_ = server_->port();
    thread_ = std::thread([this] { loop_->run(); });
  }

 private:
  static Task<void> end(TestMember* self) {
    Context last = Context::root(*self->loop_);
    co_await self->server_->stop(last);
    co_await self->member_->stop();
    self->loop_->stop();
  }
  TemporaryDirectory directory_ = *TemporaryDirectory::make("keles-member");
  MemberOptions options_;
  std::unique_ptr<RealLoop> loop_;
  std::unique_ptr<Member> member_;
  std::unique_ptr<net::Server> server_;
  uint16_t port_ = 0;
  std::thread thread_;
};

}  // namespace keles::etcdserver
