"""First cancers of one site among made-up people: published incidence times relative risk, with death competing.

What belongs here: the numbers by age and sex with their sources, and the generator. Which site has which factors
stands in the family `cancer_risk` of the catalogue.

``incidence.csv``: cases and population of the United States in 2019 by sex and age, of 24 sites. Source: U.S. Cancer
Statistics 1999-2019 (Centers for Disease Control and Prevention and National Cancer Institute, file BYAGE.TXT), in the
public domain, as copied into the pages ``uscsTable 2019`` of CancerDB. An empty cell is a number suppressed there
because fewer than 16 cases were counted; it counts as none. ``melanoma`` is that of the skin, ``oral`` is oral cavity
and pharynx (C00-C14), ``nhl`` non-Hodgkin lymphoma, ``colorectum`` colon and rectum, ``uterus`` its corpus.

``incidence_scotland.csv``: cases and person-years of Scotland in 2010-2019 by sex and age, of 13 sites that the table
above does not list. Source: Public Health Scotland, annual cancer incidence 1997-2021, summed over ten years; the
person-years are those behind its rates of all cancers. Contains public sector information licensed under the Open
Government Licence v3.0. ``connective_tissue`` is C47 and C49, ``chronic_myeloid`` C92.1 and C92.2.

``mortality.csv``: deaths of all causes per person-year in Denmark, 2009-2012, by sex and age. Source: Statistics
Denmark, as the data set M.dk of the R package Epi 2.47. It holds the deaths from the cancer itself, too.
"""
