// Scores beside the events in plain ROOT: root -b -q 'scores.C("events.root", "events.scores.root", "score_signal")'
#include <cstdio>
#include <memory>

#include "TFile.h"
#include "TTree.h"

void scores(const char *events, const char *scores, const char *branch)
{
   std::unique_ptr<TFile> file(TFile::Open(events));
   auto *tree = file->Get<TTree>("Events");
   tree->AddFriend("gridloom", scores);

   float met = 0, score = 0;
   int fold = 0;
   tree->SetBranchAddress("MET_pt", &met);
   tree->SetBranchAddress(branch, &score);
   tree->SetBranchAddress("fold", &fold);
   long selected = 0, folds[100] = {};
   double sum = 0;
   for (long entry = 0; entry < tree->GetEntries(); ++entry) {
      tree->GetEntry(entry);
      ++folds[fold];
      if (score < 0)
         continue; // outside the selection
      ++selected;
      sum += score;
   }
   std::printf("entries %lld, selected %ld, mean score %.6f, in fold 0 %ld\n", tree->GetEntries(), selected,
               sum / selected, folds[0]);
}
