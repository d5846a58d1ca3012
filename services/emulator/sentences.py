"""What is said in invented videos: plain sentences of ours, English and Mandarin in pinyin.

Pinyin with tone numbers, because espeak-ng reads Chinese characters with an English voice when
its dictionary of them is not at hand.
"""

SENTENCES = {
    "en": (
        "Good morning everybody, and thank you for stopping by.",
        "Today I want to show you something that took me most of the winter.",
        "The rain had hardly stopped when the first guests came up the hill.",
        "Put the flour on the table and make a small hole in the middle.",
        "If the wheel still wobbles, turn the spoke a quarter and look again.",
        "My neighbour keeps bees, and he told me not to hurry them.",
        "We waited at the station until the last train had left.",
        "You can hear the difference as soon as the string is tuned.",
        "Nobody knew why the light in the kitchen was still burning.",
        "I tried it three times, and the third time it finally worked.",
        "The river is low in August, so we crossed it on foot.",
        "Write down what you measure before you start to guess.",
        "She opened the window and counted the ships in the harbour.",
        "A cheap camera is enough when the light is good.",
        "The soup needs an hour, and you need patience.",
        "Let us go back to the question from the beginning.",
        "Four of the seeds came up, which is more than I expected.",
        "Please tell me below what you would have done instead.",
        "The road turns left behind the church and climbs slowly.",
        "That is all for this week, and I will see you on Friday.",
    ),
    "zh": (
        "da4 jia1 hao3, huan1 ying2 lai2 dao4 wo3 de5 pin2 dao4.",
        "jin1 tian1 wo3 men5 yi4 qi3 lai2 zuo4 mian4 bao1.",
        "xian1 ba3 mian4 fen3 he2 shui3 fang4 zai4 yi2 ge4 da4 wan3 li3.",
        "wai4 mian4 xia4 yu3 le5, wo3 men5 zai4 jia1 he1 cha2 ba5.",
        "zhe4 liang4 zi4 xing2 che1 yi3 jing1 hen3 jiu4 le5.",
        "ming2 tian1 zao3 shang5 wo3 yao4 qu4 huo3 che1 zhan4.",
        "ni3 men5 kan4, zhe4 duo3 hua1 kai1 de5 duo1 me5 hao3.",
        "wo3 shi4 le5 san1 ci4, di4 san1 ci4 cai2 cheng2 gong1.",
        "ba3 mian4 tiao2 fang4 jin4 guo1 li3, zhu3 wu3 fen1 zhong1.",
        "shan1 shang4 de5 feng1 hen3 da4, dan4 shi4 feng1 jing3 hen3 mei3.",
        "wo3 peng2 you5 jiao1 wo3 xia4 xiang4 qi2, wo3 zong3 shi4 shu1.",
        "zhe4 ge4 wen4 ti2 bi3 wo3 xiang3 de5 nan2.",
        "qing3 ni3 xian1 ting1 yi2 xia4 zhe4 ge4 sheng1 yin1.",
        "xia4 tian1 he2 shui3 bu4 shen1, wo3 men5 zou3 guo4 qu4.",
        "ta1 da3 kai1 chuang1 hu5, kan4 jian4 le5 yuan3 chu4 de5 chuan2.",
        "pian2 yi5 de5 xiang4 ji1 ye3 neng2 pai1 chu1 hao3 zhao4 pian4.",
        "wo3 men5 hui2 dao4 gang1 cai2 de5 wen4 ti2.",
        "ru2 guo3 ni3 xi3 huan5, qing3 gao4 su4 ni3 de5 peng2 you5.",
        "lu4 zai4 qian2 mian4 xiang4 zuo3 zhuan3, ran2 hou4 shang4 shan1.",
        "jin1 tian1 jiu4 dao4 zhe4 li3, wo3 men5 xia4 zhou1 jian4.",
    ),
}
"""By language, as ``spoken_language`` names it."""
