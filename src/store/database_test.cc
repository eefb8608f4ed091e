#include "store/database.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace quern::store {
namespace {

class StoreDatabase : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("quern_store_" + std::to_string(getpid()));
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directory(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static void MakeTable(Database& database) {
    ASSERT_TRUE(database.Migrate("test", {"CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT)"}));
  }
  static void Put(Database& database, int64_t key, std::string_view text) {
    Transaction transaction(database);
    ASSERT_TRUE(transaction.Run("INSERT INTO t VALUES (?, ?)", {key, text}));
    ASSERT_TRUE(transaction.Commit());
  }
  static int64_t Count(Database& database) {
    Transaction transaction(database);
    return transaction.QueryInt("SELECT count(*) FROM t").value();
  }

  std::filesystem::path folder_;
};

TEST_F(StoreDatabase, GivesBackWhatWasBoundByteForByte) {
  const auto database = Database::Open("").value();
  ASSERT_TRUE(database->Migrate("test", {"CREATE TABLE t (a, b, c, d)"}));
  const std::string bytes("a\0'\xFF\"; DROP TABLE t", 19);
  {
    Transaction transaction(*database);
    ASSERT_TRUE(
        transaction.Run("INSERT INTO t VALUES (?, ?, ?, ?)", {int64_t{-7}, "du\u00e9", Blob{bytes}, std::monostate()}));
    ASSERT_TRUE(transaction.Commit());
  }
  Transaction transaction(*database);
  int n_rows = 0;
  ASSERT_TRUE(transaction.Query("SELECT a, b, c, d FROM t", {}, [&](const Row& row) {
    ++n_rows;
    EXPECT_EQ(row.Int(0), -7);
    EXPECT_EQ(row.Text(1), "du\u00e9");
    EXPECT_EQ(row.Text(2), bytes);
    EXPECT_TRUE(row.IsNull(3));
    return true;
  }));
  EXPECT_EQ(n_rows, 1);
}

TEST_F(StoreDatabase, WhatWasNotCommittedIsUndone) {
  const auto database = Database::Open("").value();
  MakeTable(*database);
  {
    Transaction transaction(*database);
    ASSERT_TRUE(transaction.Run("INSERT INTO t VALUES (1, 'x')"));
  }
  EXPECT_EQ(Count(*database), 0);
  Put(*database, 1, "y");
  EXPECT_EQ(Count(*database), 1);
}

TEST_F(StoreDatabase, AFailedStatementIsAnErrorAndTheNextOneWorks) {
  const auto database = Database::Open("").value();
  MakeTable(*database);
  Put(*database, 1, "x");
  Transaction transaction(*database);
  EXPECT_FALSE(transaction.Run("INSERT INTO t VALUES (?, ?)", {int64_t{1}, "again"}));
  EXPECT_FALSE(transaction.Run("INSERT INTO nowhere VALUES (1)"));
  EXPECT_TRUE(transaction.Run("INSERT INTO t VALUES (?, ?)", {int64_t{2}, "two"}));
  EXPECT_EQ(transaction.QueryInt("SELECT count(*) FROM t").value(), 2);
}

TEST_F(StoreDatabase, MigratesOnceAndRefusesTheFuture) {
  const auto path = folder_ / "db";
  {
    const auto database = Database::Open(path).value();
    MakeTable(*database);
    MakeTable(*database);
    Put(*database, 1, "old");
  }
  {
    const auto database = Database::Open(path).value();
    ASSERT_TRUE(database->Migrate("test", {"CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT)",
                                           "ALTER TABLE t ADD COLUMN w TEXT NOT NULL DEFAULT 'new'"}));
    Transaction transaction(*database);
    EXPECT_EQ(transaction.QueryInt("SELECT count(*) FROM t WHERE v = 'old' AND w = 'new'").value(), 1);
  }
  const auto database = Database::Open(path).value();
  const auto back = database->Migrate("test", {"CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT)"});
  ASSERT_FALSE(back);
  EXPECT_EQ(back.error().code(), Code::kUnsupported);
}

TEST_F(StoreDatabase, OneProcessAtATime) {
  const auto path = folder_ / "db";
  auto first = Database::Open(path).value();
  const auto second = Database::Open(path);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::kUnavailable) << second.error().ToString();
  first.reset();
  EXPECT_TRUE(Database::Open(path));
}

TEST_F(StoreDatabase, SaysWhatIsWrongWithAPath) {
  EXPECT_EQ(Database::Open(folder_ / "none" / "db").error().code(), Code::kNotFound);
  std::ofstream(folder_ / "text") << std::string(5000, 'x');
  EXPECT_EQ(Database::Open(folder_ / "text").error().code(), Code::kCorrupt);
}

TEST_F(StoreDatabase, ItsFileIsItsOwnersAlone) {
  const auto database = Database::Open(folder_ / "db").value();
  MakeTable(*database);
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    struct stat info {};
    ASSERT_EQ(stat(entry.path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 077, 0U) << entry.path();
  }
}

TEST_F(StoreDatabase, ThreadsTakeTurns) {
  const auto database = Database::Open("").value();
  MakeTable(*database);
  std::vector<std::thread> threads;
  for (int64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int64_t i = 0; i < 50; ++i) Put(*database, t * 50 + i, "x");
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Count(*database), 200);
}

// A process that commits rows 1, 2, 3, ... in transactions of two is killed at some instant: what it said it had
// committed is there, and every transaction is there wholly or not at all.
TEST_F(StoreDatabase, KilledAtAnyInstantItHasWhatWasCommitted) {
  for (int round = 0; round < 8; ++round) {
    const auto path = folder_ / ("db" + std::to_string(round));
    int channel[2];
    ASSERT_EQ(pipe(channel), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      const auto database = Database::Open(path);
      if (!database || !(*database)->Migrate("test", {"CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT)"})) _exit(1);
      for (int64_t k = 1;; k += 2) {
        Transaction transaction(**database);
        const std::string text(static_cast<size_t>(k % 977), 'x');
        if (!transaction.Run("INSERT INTO t VALUES (?, ?)", {k, text})) _exit(1);
        if (!transaction.Run("INSERT INTO t VALUES (?, ?)", {k + 1, text})) _exit(1);
        if (!transaction.Commit()) _exit(1);
        const int64_t done = k + 1;
        if (write(channel[1], &done, sizeof(done)) != sizeof(done)) _exit(1);
      }
    }
    close(channel[1]);
    int64_t told = 0;
    const int64_t enough = 2 + round * 60;
    while (told < enough && read(channel[0], &told, sizeof(told)) == sizeof(told)) {
    }
    kill(child, SIGKILL);
    while (read(channel[0], &told, sizeof(told)) == sizeof(told)) {
    }
    close(channel[0]);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
    const auto database = Database::Open(path);
    ASSERT_TRUE(database) << database.error().ToString();
    Transaction transaction(**database);
    const int64_t n_rows = transaction.QueryInt("SELECT count(*) FROM t").value();
    EXPECT_GE(n_rows, told);
    EXPECT_EQ(n_rows % 2, 0);
    EXPECT_EQ(transaction.QueryInt("SELECT max(k) FROM t").value(), n_rows) << "no gap";
  }
}

}  // namespace
}  // namespace quern::store
