// A key management service for tests: a KMS v2 plug-in on a unix socket (gRPC over HTTP/2 by
// nghttp2), with a thread for each connection. Its "encryption" hides nothing: "sealed:" and the
// text.
#pragma once

#include <nghttp2/nghttp2.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/kms_v2.h"
#include "base/encoding.h"
#include "machinery/codec_protobuf.h"

namespace keles::encryption {

class TestKms {
 public:
  struct Answers {
    std::function<std::string()> key_id = [] { return std::string("key-1"); };
    std::function<std::string()> healthz = [] { return std::string("ok"); };
  };
  explicit TestKms(std::string socket) : TestKms(std::move(socket), Answers()) {}
  TestKms(std::string socket, Answers answers)
      : socket_(std::move(socket)), answers_(std::move(answers)) {
    listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    std::strncpy(at.sun_path, socket_.c_str(), sizeof at.sun_path - 1);
    ::unlink(socket_.c_str());
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 ||
        ::listen(listener_, 16) != 0) {
      std::perror("listen");
      std::abort();
    }
    threads_.emplace_back([this] { accept(); });
  }
  ~TestKms() {
    {
      std::lock_guard lock(mutex_);
      over_ = true;
      for (int fd : open_) ::shutdown(fd, SHUT_RDWR);
    }
    ::shutdown(listener_, SHUT_RDWR);
    threads_.front().join();  // no more of them now
    for (size_t i = 1; i < threads_.size(); ++i) threads_[i].join();
    ::close(listener_);
    ::unlink(socket_.c_str());
  }
  TestKms(const TestKms&) = delete;

  std::atomic<int> statuses{0}, encryptions{0}, decryptions{0};

 private:
  struct Stream {
    std::string path, body, answer;
    size_t at = 0;
  };
  struct Connection {
    TestKms* self;
    int fd;
    std::map<int32_t, Stream> streams;
  };

  void accept() {
    for (;;) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      std::lock_guard lock(mutex_);
      if (over_) {
        ::close(fd);
        return;
      }
      open_.push_back(fd);
      threads_.emplace_back([this, fd] { serve(fd); });
    }
  }

  void serve(int fd) {
    Connection c{this, fd, {}};
    nghttp2_session_callbacks* calls = nullptr;
    nghttp2_session_callbacks_new(&calls);
    nghttp2_session_callbacks_set_send_callback(calls, on_send);
    nghttp2_session_callbacks_set_on_header_callback(calls, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(calls, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, on_close);
    nghttp2_session* session = nullptr;
    nghttp2_session_server_new(&session, calls, &c);
    nghttp2_session_callbacks_del(calls);
    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, nullptr, 0);
    char buffer[16 * 1024];
    while (nghttp2_session_send(session) == 0) {
      const ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
      if (n <= 0) break;
      if (nghttp2_session_mem_recv(session, reinterpret_cast<const uint8_t*>(buffer),
                                   static_cast<size_t>(n)) < 0) {
        break;
      }
    }
    nghttp2_session_del(session);
    std::lock_guard lock(mutex_);
    std::erase(open_, fd);
    ::close(fd);
  }

  static Connection& of(void* data) { return *static_cast<Connection*>(data); }
  static ssize_t on_send(nghttp2_session*, const uint8_t* data, size_t n, int, void* user) {
    const ssize_t sent = ::send(of(user).fd, data, n, MSG_NOSIGNAL);
    return sent < 0 ? static_cast<ssize_t>(NGHTTP2_ERR_CALLBACK_FAILURE) : sent;
  }
  static int on_header(nghttp2_session*, const nghttp2_frame* f, const uint8_t* name, size_t length,
                       const uint8_t* value, size_t value_length, uint8_t, void* user) {
    if (std::string_view(reinterpret_cast<const char*>(name), length) == ":path") {
      of(user).streams[f->hd.stream_id].path.assign(reinterpret_cast<const char*>(value),
                                                    value_length);
    }
    return 0;
  }
  static int on_data(nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t n,
                     void* user) {
    of(user).streams[id].body.append(reinterpret_cast<const char*>(data), n);
    return 0;
  }
  static int on_close(nghttp2_session*, int32_t id, uint32_t, void* user) {
    of(user).streams.erase(id);
    return 0;
  }
  static nghttp2_nv field(std::string_view name, std::string_view value) {
    return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
            reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
            NGHTTP2_NV_FLAG_NONE};
  }
  static int on_frame(nghttp2_session* session, const nghttp2_frame* f, void* user) {
    const bool request = f->hd.type == NGHTTP2_HEADERS || f->hd.type == NGHTTP2_DATA;
    if (!request || (f->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
    Connection& c = of(user);
    Stream& s = c.streams[f->hd.stream_id];
    const std::string message =
        c.self->answer(s.path, s.body.size() > 5 ? s.body.substr(5) : std::string());
    const auto n = static_cast<uint32_t>(message.size());
    s.answer = {0, static_cast<char>(n >> 24), static_cast<char>(n >> 16),
                static_cast<char>(n >> 8), static_cast<char>(n)};
    s.answer += message;
    nghttp2_nv head[] = {field(":status", "200"), field("content-type", "application/grpc")};
    nghttp2_data_provider from{};
    from.source.ptr = &s;
    from.read_callback = on_read;
    return nghttp2_submit_response(session, f->hd.stream_id, head, 2, &from);
  }
  static ssize_t on_read(nghttp2_session* session, int32_t id, uint8_t* to, size_t most,
                         uint32_t* flags, nghttp2_data_source* source, void*) {
    auto* s = static_cast<Stream*>(source->ptr);
    const size_t n = std::min(most, s->answer.size() - s->at);
    std::memcpy(to, s->answer.data() + s->at, n);
    s->at += n;
    if (s->at == s->answer.size()) {
      *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
      nghttp2_nv trailers[] = {field("grpc-status", "0")};
      nghttp2_submit_trailer(session, id, trailers, 1);
    }
    return static_cast<ssize_t>(n);
  }

  std::string answer(const std::string& path, const std::string& body) {
    namespace v2 = api::kms_v2;
    if (path.ends_with("/Status")) {
      ++statuses;
      Draft<v2::StatusResponseEdit> r;
      r->set_version("v2");
      r->set_healthz(answers_.healthz());
      r->set_key_id(answers_.key_id());
      return encode_protobuf(v2::StatusResponse::descriptor(), r.value());
    }
    if (path.ends_with("/Encrypt")) {
      ++encryptions;
      auto doc = decode_protobuf(v2::EncryptRequest::descriptor(), body);
      const std::string plain = *base64_decode(v2::EncryptRequest(doc->root).plaintext());
      Draft<v2::EncryptResponseEdit> r;
      r->set_ciphertext(base64_encode("sealed:" + plain));
      r->set_key_id(answers_.key_id());
      r->edit_annotations().set("test.kms.example.com", base64_encode("1"));
      return encode_protobuf(v2::EncryptResponse::descriptor(), r.value());
    }
    ++decryptions;
    auto doc = decode_protobuf(v2::DecryptRequest::descriptor(), body);
    std::string sealed = *base64_decode(v2::DecryptRequest(doc->root).ciphertext());
    Draft<v2::DecryptResponseEdit> r;
    r->set_plaintext(base64_encode(sealed.substr(std::min<size_t>(7, sealed.size()))));
    return encode_protobuf(v2::DecryptResponse::descriptor(), r.value());
  }

  const std::string socket_;
  const Answers answers_;
  int listener_ = -1;
  std::mutex mutex_;
  bool over_ = false;
  std::vector<int> open_;
  std::vector<std::thread> threads_;
};

}  // namespace keles::encryption
